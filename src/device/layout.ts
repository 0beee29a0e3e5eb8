// Addresses in wasm memory that the host and the kernels agree on. Compiled both as TypeScript and as AssemblyScript,
// hence the bare whole numbers. Each word that threads write has a cache line of its own.

/** Threads that have arrived at the barrier, and how often it has opened. */
export const ARRIVED = 64;
export const TURN = 128;
/** Number of the current job; workers sleep on it. */
export const JOB = 192;
/** Workers asleep on JOB. */
export const SLEEPING = 256;
/** Workers that have finished the current job. */
export const FINISHED = 320;
/** Next unclaimed piece of the current phase. */
export const TICKET = 384;
/** Not 0 once a thread has trapped: nobody waits any longer. */
export const FAILED = 448;
/** Index of the job's kernel and number of its threads. */
export const KERNEL = 512;
export const THREADS = 516;
/** The job's arguments: float64 words. */
export const ARGUMENTS = 1024;
/** Memory all threads share within one kernel (the packed operand of a contraction): 4 MiB. */
export const SHARED = 65536;
export const SHARED_BYTES = 4194304;
/** Then 4 MiB for each thread alone, then the tensors. */
export const SCRATCH = 4259840;
export const SCRATCH_BYTES = 4194304;
