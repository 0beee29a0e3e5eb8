import type { LoadedModel } from "../generate/load.ts";
import { scoreToken } from "../generate/score.ts";
import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { scope } from "../tensor/tensor.ts";

/** Mean of -log p of each token of the sequences after its first, in nats, and how many tokens these are. */
export interface Loss {
  readonly loss: number;
  readonly tokens: number;
}

/** A model's loss on sequences of ids, each for itself. O(tokens x vocabulary) numbers of one sequence at a time. */
export async function lossOn(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  watch?: (done: number) => void,
): Promise<Loss> {
  const { device } = weights.get("norm")!;
  const { vocabulary } = model;
  let [sum, tokens] = [0, 0];
  for (const [i, ids] of sequences.entries()) {
    const out = scope(device, () => forward(model, weights, ids, { positions: positionsOf(0, ids.length) }));
    const logits = await out.read();
    out.free();
    for (let t = 0; t + 1 < ids.length; t++)
      sum -= scoreToken(logits.subarray(t * vocabulary, (t + 1) * vocabulary), ids[t + 1]!, 0).logprob;
    tokens += ids.length - 1;
    watch?.(i + 1);
  }
  return { loss: sum / tokens, tokens };
}

/** The first ids of a text as sequences of `length`: `tokens` in all, or fewer where the text ends. */
export function cutIds(ids: Int32Array, tokens: number, length: number): Int32Array[] {
  const count = Math.floor(Math.min(tokens, ids.length) / length);
  return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
}

/** The text's first ids as sequences. Throws FormatError where there are none. */
export function textOf({ tokenizer, path }: LoadedModel, text: string, tokens: number, length: number): Int32Array[] {
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  // No token is longer than some letters: what is certain to be behind the last is not looked at.
  const sequences = cutIds(tokenizer.encode(text.slice(0, 24 * tokens)), tokens, length);
  if (!sequences.length)
    throw new FormatError(`text: got fewer than ${length} tokens, expected at least so many; give more`);
  return sequences;
}
