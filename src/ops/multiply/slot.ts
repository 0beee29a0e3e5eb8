// Slots of the arguments of kernels that multiply. Compiled both as TypeScript and as AssemblyScript.

/** Where the result goes; backwards the gradient of a (0 for not wanted). */
export const OUT = 0;
export const A = 1;
export const B = 2;
export const OUTER = 3;
export const MIDDLE = 4;
export const INNER = 5;
/** How many rows of `middle` numbers are taken as one. */
export const REPEATS = 6;
// Backwards.
export const G = 7;
/** 0 for not wanted. */
export const DB = 8;
/** Runs in which rows are summed. */
export const RUNS = 9;
