// Sizes of contractions, which other ops build on too, for the host and the kernels. Compiled both as TypeScript and as
// AssemblyScript.

/** Rows of a tile in the plain build and in those with fused multiply-add; its columns in all but the wide build, and in that. */
export const PLAIN_ROWS = 4;
export const FUSED_ROWS = 6;
export const PLAIN_COLUMNS = 8;
export const WIDE_COLUMNS = 16;
/** Rows and columns that are whole tiles in every build. */
export const WHOLE_ROWS = 12;
export const WHOLE_COLUMNS = 16;
/** Rows up to which a matrix streams past them as it lies in memory, and attention takes queries one by one. */
export const FEW = 4;
/** Most columns of a piece of `stream`: the sums of four rows fill 1 MiB. */
export const WIDEST = 65536;
/** Longest run of k summed in registers before C is touched. The same in all builds: it fixes the order of summation. */
export const DEPTH = 256;
/** Most rows of A laid out in panels at once: 120 x DEPTH floats stay in the second-level cache. Divisible by 4 and 6. */
export const HEIGHT = 120;
/** Most columns of B laid out in panels at once where nothing is kept. */
export const WIDTH = 1024;
/** Most columns of B that are a piece where A is kept. */
export const NARROW = 192;
/** Floats of one operand that a thread keeps in panels from piece to piece, behind those for the piece at hand. */
export const KEPT = 983040;
