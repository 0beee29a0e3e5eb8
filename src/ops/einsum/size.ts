// Sizes of what contractions pack, for the host and the kernels. Compiled both as TypeScript and as AssemblyScript.

/** Longest run of k summed in registers before C is touched. The same in all builds: it fixes the order of summation. */
export const DEPTH = 256;
/** Most rows of A packed at once: 120 x DEPTH floats stay in the second-level cache. Divisible by 4 and 6. */
export const HEIGHT = 120;
/** Most columns of B packed at once where nothing is kept. */
export const WIDTH = 1024;
/** Most columns of B that are a piece where A is kept. */
export const NARROW = 192;
/** Floats of one operand that a thread keeps packed from piece to piece, behind what it packs for the piece at hand. */
export const KEPT = 983040;
