// Slots of the arguments of the divergence's kernels. Compiled both as TypeScript and as AssemblyScript.

/** Where the one number goes; backwards the gradient of the logits. */
export const OUT = 0;
/** Three numbers a row, a row of each: the logs of both sums, and the divergence. */
export const SUMS = 1;
export const WANTED = 2;
export const LOGITS = 3;
export const ROWS = 4;
export const VOCABULARY = 5;
// Backwards.
/** Address of one number. */
export const G = 6;
