// Compiled both as TypeScript and as AssemblyScript, hence the bare whole number.

/** Tokens of a chunk. Gradients start anew from the state before each. */
export const CHUNK = 32;
