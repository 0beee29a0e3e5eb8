import type { Model } from "../model/model.ts";

/** What parameters outside attention are multiplied by: the embedding, what each branch adds, the gain of the last norm. */
export interface Factors {
  readonly embedding: number;
  readonly branch: number;
  readonly norm: number;
}

export const plainFactors: Factors = { embedding: 1, branch: 1, norm: 1 };

/**
 * The same function under another epsilon of all norms, and under a target's own factors. A norm does not see how long its input is
 * but beside its epsilon: x / sqrt(mean x² + e) is the same for s x and s² e. So the residual stream becomes s times as long, which
 * the embedding and what every branch adds say, and the last norm's gain where the head is the embedding.
 */
export function residualFactors(
  { tied, eps }: Model,
  wanted: number,
  scales: { readonly embedding: number; readonly branch: number; readonly head: number } = {
    embedding: 1,
    branch: 1,
    head: 1,
  },
): Factors {
  const s = Math.sqrt(wanted / eps);
  const embedding = s / scales.embedding;
  return { embedding, branch: s / scales.branch, norm: 1 / (tied ? embedding : 1) / scales.head };
}

/** The factor of a parameter outside attention by its name. */
export function factorOf(name: string, { embedding, branch, norm }: Factors): number {
  if (name === "embed") return embedding;
  if (name === "norm") return norm;
  return /\.feed\.(shared\.)?(wDown|bDown)$/.test(name) ? branch : 1;
}
