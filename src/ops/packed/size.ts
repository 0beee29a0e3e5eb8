// Sizes of contractions with a packed weight for the host and the kernels. Compiled both as TypeScript and as AssemblyScript.

/** Bytes of scratch that the kernels for few rows have for what they make of the activations, and behind that for one row. */
export const ACTIVATED = 3145728;
export const SPARE = 1048576;
/** Bytes at the end of ACTIVATED for sums on their way. */
export const SUMS = 256;
/** Columns that become float32 at a time: a multiple of every block. */
export const STRIP = 256;
/** Bytes in front of that for a strip of a widened weight and for sums, and rows of activations that these have room for. */
export const ALIGNED = 32768;
export const MOST = 64;
/** Rows of activations that are one tile, and panels of a weight that are one at most. */
export const TILE = 4;
export const TOGETHER = 4;
