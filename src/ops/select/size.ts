// Sizes of select for the host and the kernels. Compiled both as TypeScript and as AssemblyScript.

/** Bytes of shared memory for each of at most 64 threads: scratch memory is for words alone. */
export const PART = 65536;
/** Counts that `choose` needs of that. */
export const BINS = 2048;
