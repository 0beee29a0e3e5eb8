import { ShapeError } from "../tensor/error.ts";
import type { Numbers } from "../tensor/tensor.ts";

/** A token with the natural logarithm of its probability, before bias, temperature and selection. */
export interface Likelihood {
  readonly id: number;
  readonly logprob: number;
}

/** A token as it was likely, and the likeliest in its place, likeliest first. */
export interface Scored extends Likelihood {
  readonly top: readonly Likelihood[];
}

/**
 * How likely `id` was by logits `[vocabulary]`, and the `top` likeliest: a log softmax in float64, whatever the logits are in. Equal
 * logits count the lower id as the likelier. O(vocabulary + top log top) where few are asked for. Throws ShapeError for an id that
 * is none.
 */
export function scoreToken(logits: Numbers, id: number, top: number): Scored {
  if (!(id >= 0 && id < logits.length))
    throw new ShapeError(`score: got the id ${id}, expected a whole number in [0, ${logits.length})`);
  const total = logSumExp(logits);
  const of = (token: number): Likelihood => ({ id: token, logprob: logits[token]! - total });
  return { ...of(id), top: likeliest(logits, top).map(of) };
}

function logSumExp(logits: Numbers): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of logits) if (x > most) most = x;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - most);
  return most + Math.log(sum);
}

/** The ids of the `count` largest, in order: a heap of those so far with the least of them at its root. */
function likeliest(logits: Numbers, count: number): number[] {
  const heap: number[] = [];
  const less = (a: number, b: number) => logits[a]! < logits[b]! || (logits[a] === logits[b] && a > b);
  const sink = (from: number) => {
    for (let at = from; ; ) {
      const left = 2 * at + 1;
      if (left >= heap.length) return;
      const child = left + 1 < heap.length && less(heap[left + 1]!, heap[left]!) ? left + 1 : left;
      if (!less(heap[child]!, heap[at]!)) return;
      [heap[at], heap[child]] = [heap[child]!, heap[at]!];
      at = child;
    }
  };
  const size = Math.min(count, logits.length);
  for (let id = 0; id < logits.length && size > 0; id++) {
    if (heap.length < size) {
      heap.push(id);
      if (heap.length === size) for (let at = size >> 1; at >= 0; at--) sink(at);
    } else if (less(heap[0]!, id)) {
      heap[0] = id;
      sink(0);
    }
  }
  return heap.sort((a, b) => (less(a, b) ? 1 : -1));
}
