import { runExactly } from "../generate/advance.ts";
import type { Model } from "../model/model.ts";
import { devicesOf, forward, headLogits, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { type Numbers, scope, type Tensor, tensor } from "../tensor/tensor.ts";
import { type Interval, meanInterval } from "./statistics.ts";

/** How a model tells the tokens of one sequence, beside how its original does: means over the sequence's tokens but the first. */
export interface SequenceScore {
  readonly tokens: number;
  /** -log p of the token that comes, in nats, by the original and by the model. */
  readonly original: number;
  readonly loss: number;
  /** Kullback-Leibler divergence of the model from the original, in nats. */
  readonly divergence: number;
  /** Share of the tokens at which both find the same one the likeliest. */
  readonly agreement: number;
}

/**
 * Scores of sequences of one length: means with the intervals of Student's t over the sequences, 95 %. Perplexities are e to the mean
 * and to its ends.
 */
export interface Evaluation {
  readonly tokens: number;
  readonly original: Interval;
  readonly perplexity: Interval;
  /** Perplexity by the original's, paired by sequence: what is hard in both cancels. */
  readonly ratio: Interval;
  readonly divergence: Interval;
  readonly agreement: Interval;
  readonly sequences: readonly SequenceScore[];
}

/** What a model says of sequences of ids, one sequence at a time: logits `[tokens, vocabulary]`. */
export interface Told {
  readonly sequences: readonly Int32Array[];
  readonly vocabulary: number;
  logits(sequence: number): Promise<Numbers>;
}

/** `tokens` ids of a text as sequences of `length`, spread evenly over all of it; fewer where the text has fewer. */
export function spreadIds(ids: Int32Array, tokens: number, length: number): Int32Array[] {
  const windows = Math.floor(ids.length / length);
  const count = Math.min(windows, Math.floor(tokens / length));
  return Array.from({ length: count }, (_, i) => {
    const start = Math.floor((i * windows) / count) * length;
    return ids.slice(start, start + length);
  });
}

/** What a model says, run anew whenever it is asked. */
export function ask(model: Model, weights: Weights, sequences: readonly Int32Array[]): Told {
  return {
    sequences,
    vocabulary: model.vocabulary,
    logits: (i) => readOut(weights, () => forward(model, weights, sequences[i]!, runOf(sequences[i]!))),
  };
}

/**
 * What an original says to whoever is held beside it: its last hidden states are kept, `[tokens, d]` of each sequence, and its head
 * alone runs again. The weights must live as long as it is asked.
 */
export async function remember(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  watch?: (sequences: number) => void,
): Promise<Told> {
  const states: Numbers[] = [];
  for (const ids of sequences) {
    let last: Promise<Numbers> | undefined;
    const see = (hidden: Tensor) => {
      last = hidden.read();
    };
    await readOut(weights, () => forward(model, weights, ids, { ...runOf(ids), watch: onlyLast(model, see) }));
    states.push(await last!);
    watch?.(states.length);
  }
  const { device } = weights.get("norm")!;
  return {
    sequences,
    vocabulary: model.vocabulary,
    logits: (i) =>
      readOut(weights, () =>
        headLogits(model, weights, tensor(device, [sequences[i]!.length, model.width], states[i]!)),
      ),
  };
}

const runOf = (ids: Int32Array) => ({ positions: positionsOf(0, ids.length) });

/** A watch that sees the normed last hidden states alone: the embeddings and each block but the last come before. */
function onlyLast({ layers }: Model, see: (hidden: Tensor) => void): (hidden: Tensor) => void {
  let before = layers.length;
  return (hidden) => {
    if (before-- === 0) see(hidden);
  };
}

/**
 * Runs what gives logits where the last weights lie, and reads them. Activations are taken as they are: rounded to 8 bits beside packed
 * weights they would add 0.004 nats of divergence (SmolLM2 in Q4_1) to whatever is measured.
 */
export async function readOut(weights: Weights, run: () => Tensor): Promise<Numbers> {
  const out = scope(weights.get("norm")!.device, () => runExactly(devicesOf(weights), run));
  const numbers = await out.read();
  out.free();
  return numbers;
}

/** Scores of what a model says beside what its original says of the same sequences. O(tokens x vocabulary) in float64. */
export async function scoreBeside(
  original: Told,
  model: Told,
  watch?: (sequences: number) => void,
): Promise<SequenceScore[]> {
  const { vocabulary } = original;
  const scores: SequenceScore[] = [];
  for (const [i, ids] of original.sequences.entries()) {
    const [before, after] = [await original.logits(i), await model.logits(i)];
    const sums = { original: 0, loss: 0, divergence: 0, agreement: 0 };
    const tokens = ids.length - 1;
    for (let t = 0; t < tokens; t++) {
      const row = [t * vocabulary, (t + 1) * vocabulary] as const;
      const found = scoreRow(before.subarray(...row), after.subarray(...row), ids[t + 1]!);
      sums.original += found.original;
      sums.loss += found.loss;
      sums.divergence += found.divergence;
      sums.agreement += found.agrees ? 1 : 0;
    }
    const mean = (sum: number) => sum / tokens;
    const { original: told, loss, divergence, agreement } = sums;
    scores.push({
      tokens,
      original: mean(told),
      loss: mean(loss),
      divergence: mean(divergence),
      agreement: mean(agreement),
    });
    watch?.(scores.length);
  }
  return scores;
}

/** One next token: logits x of the original and y of the model, and the id that comes. */
function scoreRow(x: Numbers, y: Numbers, id: number) {
  let [a, b] = [0, 0];
  for (let i = 1; i < x.length; i++) {
    if (x[i]! > x[a]!) a = i;
    if (y[i]! > y[b]!) b = i;
  }
  const [mostX, mostY] = [x[a]!, y[b]!];
  let [sumX, sumY, gap] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const p = Math.exp(x[i]! - mostX);
    sumX += p;
    sumY += Math.exp(y[i]! - mostY);
    gap += p * (x[i]! - y[i]!);
  }
  const [allX, allY] = [mostX + Math.log(sumX), mostY + Math.log(sumY)];
  return {
    original: allX - x[id]!,
    loss: allY - y[id]!,
    // sum of p (log p - log q), where log p - log q = (x - y) - (log sum e^x - log sum e^y); rounding may go below 0.
    divergence: Math.max(0, gap / sumX - (allX - allY)),
    agrees: a === b,
  };
}

/** Scores as means with intervals. */
export function summarise(sequences: readonly SequenceScore[]): Evaluation {
  const of = (value: (score: SequenceScore) => number) => meanInterval(sequences.map(value));
  return {
    tokens: sequences.reduce((sum, { tokens }) => sum + tokens, 0),
    original: raise(of(({ original }) => original)),
    perplexity: raise(of(({ loss }) => loss)),
    ratio: raise(of(({ loss, original }) => loss - original)),
    divergence: of(({ divergence }) => divergence),
    agreement: of(({ agreement }) => agreement),
    sequences,
  };
}

/** e to a mean and to its ends. */
function raise({ mean, low, high }: Interval): Interval {
  const by = (x: number | null) => (x === null ? null : Math.exp(x));
  return { mean: Math.exp(mean), low: by(low), high: by(high) };
}
