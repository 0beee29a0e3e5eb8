// Slots of the arguments of kernels of the bias. Compiled both as TypeScript and as AssemblyScript.

/** The bias; backwards where its gradient goes. */
export const BIAS = 0;
/** What it is added to; backwards the gradient of the sum. */
export const X = 1;
export const ROWS = 2;
export const WIDTH = 3;
// Forwards.
export const OUT = 4;
