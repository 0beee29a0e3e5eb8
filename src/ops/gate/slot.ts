// Slots of the arguments of the gate's kernels. Compiled both as TypeScript and as AssemblyScript.

/** Where the result goes; backwards the gradient of a. */
export const OUT = 0;
export const A = 1;
export const B = 2;
/** Numbers of each. */
export const SIZE = 3;
// Backwards.
export const G = 4;
export const DB = 5;
