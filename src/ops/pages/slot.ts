// Slots of the arguments of kernels that store and load rows of a cache. Compiled both as TypeScript and as AssemblyScript.

/** Plain rows: what is stored, or where rows go. */
export const FLOATS = 0;
/** Numbers of the pages. */
export const TABLE = 1;
/** First row, and how many. */
export const FIRST = 2;
export const ROWS = 3;
/** Numbers and scales of a row. */
export const WIDTH = 4;
export const GROUPS = 5;
/** Type of the numbers (tensor/pagination.ts). */
export const TYPE = 6;
/** Bytes from the start of a page to its rows and its scales. */
export const ROWS_AT = 7;
export const SCALES_AT = 8;
// Loading.
/** float32 numbers of the rows to take; 0 for one after the other. */
export const NUMBERS = 9;
/** Rows that there are. */
export const TOKENS = 10;

// Storing several: how many, where the first's slots lie, and bytes from one's to the next's.
export const STORES = 0;
export const FIRST_STORE = 1;
export const STORE_BYTES = 2;
