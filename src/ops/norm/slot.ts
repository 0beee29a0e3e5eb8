// Slots of the arguments of the norm's kernels. Compiled both as TypeScript and as AssemblyScript.

/** Where the result goes; backwards the gradient of x (0 for not wanted). */
export const OUT = 0;
export const X = 1;
/** 0 for none; its rows repeat along x. */
export const GAIN = 2;
export const ROWS = 3;
export const WIDTH = 4;
export const EPS = 5;
/** Rows of the gain. */
export const HEADS = 6;
// Backwards.
export const G = 7;
/** 0 for not wanted. */
export const DGAIN = 8;
