// Slots of the arguments of kernels that map numbers. Compiled both as TypeScript and as AssemblyScript.

/** Where the result goes; backwards the gradient of x. */
export const OUT = 0;
/** What is mapped; backwards the same or its result: `slope` says which. */
export const X = 1;
/** Numbers of each. */
export const SIZE = 2;
// Backwards.
export const G = 3;
