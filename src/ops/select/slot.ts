// Slots of the arguments of select. Compiled both as TypeScript and as AssemblyScript.

// Where the results go.
export const ROWS = 0;
export const MISSING = 1;
export const Q = 2;
export const K = 3;
export const WEIGHTS = 4;
export const BATCH = 5;
export const T = 6;
export const S = 7;
export const HEADS = 8;
export const WIDTH = 9;
export const SCALE = 10;
/** Keys that a query chooses. */
export const COUNT = 11;
export const CAUSAL = 12;
/** Queries of a piece. */
export const TOGETHER = 13;
