// Slots of the arguments of the convolution's kernels. Compiled both as TypeScript and as AssemblyScript.

/** Where the result goes; backwards the gradient of x (0 for not wanted). */
export const OUT = 0;
export const X = 1;
export const W = 2;
/** 0 for zeros. */
export const BEFORE = 3;
export const ROWS = 4;
export const T = 5;
export const CHANNELS = 6;
/** Taps. */
export const WIDTH = 7;
/** 0 for none; backwards where its gradient goes (0 for not wanted). */
export const BIAS = 8;
// Backwards.
export const G = 9;
/** 0 for not wanted. */
export const DW = 10;
/** Runs in which rows are summed. */
export const RUNS = 11;
