// Slots of the arguments of repack. Compiled both as TypeScript and as AssemblyScript.

/** First of the panels. */
export const TO = 0;
/** Rows of the file that are there. */
export const FROM = 1;
export const FORMAT = 2;
export const COLUMNS = 3;
/** Bytes of a panel, and of a row in the file. */
export const PANEL_BYTES = 4;
export const ROW_BYTES = 5;
/** Number of the first panel, and the one after the last. */
export const FIRST = 6;
export const END = 7;
/** Rows of a group. */
export const INNER = 8;
/** Number of the file's first row that is there. */
export const LOW = 9;
/** Numbers of all rows that are wanted. */
export const NUMBERS = 10;
/** Scales of F8_E4M3, and their number per row. */
export const SCALES = 11;
export const PER_ROW = 12;
/** Where to say that a number needs care. */
export const ANSWER = 13;
/** Zeros as long as a row of the file and its scales, for lanes of a last panel that have no row. */
export const ZEROS = 14;
