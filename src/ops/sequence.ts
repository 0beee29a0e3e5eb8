import { ShapeError } from "../tensor/error.ts";
import { Joined } from "../tensor/joined.ts";
import { Tensor } from "../tensor/tensor.ts";
import { copy } from "./move/index.ts";

/** Sequences that lie one after the other along axis 0: so many of equal length, or how many rows each of them has. */
export type Batch = number | readonly number[];

/** What of an operand is one sequence's: the same tensor whenever it is asked for. */
export type Own = <T extends Tensor | undefined>(x: T) => T;

/**
 * Runs `body` for each of several sequences and puts its results, a row for each of a sequence's own, one after the other. `own` gives
 * a sequence's part of an operand: the tensor that is its own, or its rows of those of all. Nothing is recorded. Throws ShapeError.
 */
export function eachSequence(lengths: readonly number[], body: (own: Own, i: number, from: number) => Tensor): Tensor {
  let output: Tensor | undefined;
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  let from = 0;
  lengths.forEach((n, i) => {
    const result = body(ownOf(lengths.length, i, from, n), i, from);
    if (result.shape[0] !== n) throw new ShapeError(`sequence ${i}: got ${result.shape[0]} rows, expected ${n}`);
    output ??= new Tensor(result.device, [rows, ...result.shape.slice(1)]);
    copy(result, output.rows(from, from + n));
    result.free();
    from += n;
  });
  if (!output) throw new ShapeError("sequences: got none, expected one at least");
  return output;
}

/** What of an operand belongs to each of several sequences. */
export function ownsOf(lengths: readonly number[]): Own[] {
  let from = 0;
  return lengths.map((n, i) => {
    from += n;
    return ownOf(lengths.length, i, from - n, n);
  });
}

function ownOf(count: number, i: number, from: number, n: number): Own {
  const known = new Map<Tensor, Tensor>();
  return <T extends Tensor | undefined>(x: T): T => {
    if (!x) return x;
    let part = known.get(x);
    if (!part) {
      if (x instanceof Joined && x.each.length !== count)
        throw new ShapeError(`sequences: got ${x.each.length} of an operand, expected ${count}`);
      part = x instanceof Joined ? x.each[i]! : x.rows(from, from + n);
      known.set(x, part);
    }
    return part as T;
  };
}

/** Keeps the last row of each sequence of `x` in the state of the sequence that it belongs to: `last` of the next call. Not recorded. */
export function keepLast(x: Tensor, last: Tensor, batch: Batch): void {
  let end = 0;
  for (const [i, n] of lengthsOf(x.shape[0]!, batch).entries()) {
    end += n;
    copy(x.rows(end - 1, end), last instanceof Joined ? last.each[i]! : last);
  }
}

/** Rows of each sequence of `rows` rows. */
export function lengthsOf(rows: number, batch: Batch): readonly number[] {
  return typeof batch === "number" ? Array.from({ length: batch }, () => rows / batch) : batch;
}
