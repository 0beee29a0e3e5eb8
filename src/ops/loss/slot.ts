// Slots of the arguments of the loss's kernels. Compiled both as TypeScript and as AssemblyScript.

/** Where the one number goes; backwards the gradient of the logits. */
export const OUT = 0;
export const LSE = 1;
export const LOGITS = 2;
/** int32, below 0 where a row does not count. */
export const TARGETS = 3;
export const ROWS = 4;
export const VOCABULARY = 5;
/** How many rows count. */
export const COUNTED = 6;
// Backwards.
/** Address of one number. */
export const G = 7;
