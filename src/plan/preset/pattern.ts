/** The first `length` entries of a period that repeats: what configs list layer by layer. */
export const repeat = <T>(length: number, ...period: readonly T[]): T[] =>
  Array.from({ length }, (_, i) => period[i % period.length]!);

/** Whole numbers from `from` on, every `step`-th, up to and without `end`. */
export const range = (from: number, end: number, step = 1): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((end - from) / step)) }, (_, i) => from + i * step);
