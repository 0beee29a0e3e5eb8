// Compiled both as TypeScript and as AssemblyScript, hence the bare whole numbers.

/** Tokens of a chunk. Gradients start anew from the state before each. */
export const CHUNK = 32;
/** Tokens of a block of a chunk. */
export const BLOCK = 8;
