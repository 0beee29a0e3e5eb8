// Slots of the arguments of contractions' kernels, steps in elements. Compiled both as TypeScript and as AssemblyScript.

export const C = 0;
export const A = 1;
export const B = 2;
export const M = 3;
export const N = 4;
export const K = 5;
/** Step of m in A, of k in A, and so on. */
export const AM = 6;
export const AK = 7;
export const BK = 8;
export const BN = 9;
export const CM = 10;
export const CN = 11;
/** Two batch axes: the size of each, and its steps. */
export const OUTER = 12;
export const OUTER_A = 13;
export const OUTER_B = 14;
export const OUTER_C = 15;
export const INNER = 16;
export const INNER_A = 17;
export const INNER_B = 18;
export const INNER_C = 19;
/** 1 where C is added to. */
export const ADD = 20;
/**
 * For `stream` the columns of a piece; for `contract` the columns of a strip of B or rows of one of A, 0 where k is so long that
 * none can be kept, and 1 below where columns are cut.
 */
export const STRIP = 21;
export const BY_COLUMNS = 22;
/** For `streamRuns` the rows of B that a piece sums over. */
export const RUN = 23;
