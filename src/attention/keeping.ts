/**
 * How a layer keeps what its variant declares, where that is not an entry of its own for each token. With the variant's cache (rotary
 * dims, an indexer's keys), its state and its window this is all that decides about what a sequence leaves in a layer.
 */
export interface Keeping {
  /** Tokens that one entry stands for (DeepSeek-V4); 1 unless given. */
  readonly every?: number | undefined;
  /** Tokens that one key of an indexer stands for (GLM-5.3-Flash); `every` unless given. */
  readonly indexEvery?: number | undefined;
  /** The last tokens, which are kept whole beside entries. */
  readonly recent?: number | undefined;
  /** The layer, counted from 0, whose entries this one reads in place of its own (Gemma 3n, DeepSeek-V4.1). */
  readonly owner?: number | undefined;
  /** The layer whose indexer's keys this one reads in place of its own. */
  readonly indexOwner?: number | undefined;
}
