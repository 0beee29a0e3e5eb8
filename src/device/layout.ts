// Addresses in wasm memory that the host and the kernels agree on. Compiled both as TypeScript and as AssemblyScript,
// hence the bare whole numbers. Each group of words that threads write has a cache line of its own.

/** Blocks of memory begin at multiples of this many bytes, a cache line: pages are counted in it. */
export const ALIGN = 64;
/**
 * The job at hand, 64 bits: its number above, its pieces that nobody has begun below. They are one word so that no thread
 * takes a piece of another job than the one it saw.
 */
export const CLAIM = 64;
/** The upper half of CLAIM: workers sleep on it. */
export const JOB = 68;
/** The job's pieces in all, the index of its kernel and the most threads that may take part. */
export const PIECES = 128;
export const KERNEL = 132;
export const THREADS = 136;
/** Pieces of the job that workers have finished, and 1 while the host sleeps on that number. */
export const DONE = 192;
export const WAITING = 256;
/** Workers asleep on JOB. */
export const SLEEPING = 320;
/** Not 0 once a thread has trapped or the pool has closed: nobody begins or waits for anything any longer. */
export const OVER = 384;
/** The job's arguments: float64 words. */
export const ARGUMENTS = 1024;
/** Memory all threads share within one launch (sums of runs that a second kernel adds up): 4 MiB. */
export const SHARED = 65536;
export const SHARED_BYTES = 4194304;
/** Then 4 MiB for each thread alone, then the tensors. */
export const SCRATCH = 4259840;
export const SCRATCH_BYTES = 4194304;
