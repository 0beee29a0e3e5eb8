// A size of attention for the host and the kernels. Compiled both as TypeScript and as AssemblyScript.

/** Queries whose weights the reverse pass holds at once, so that a tile of dK is summed over as many before it is stored. */
export const HELD = 128;
