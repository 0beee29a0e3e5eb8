// A size of the norm for the host and the kernels. Compiled both as TypeScript and as AssemblyScript.

/** Runs in which rows are summed into the gain's gradient, whatever the number of threads. */
export const RUNS = 16;
