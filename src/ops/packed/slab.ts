// Slots of the arguments of unpack. Compiled both as TypeScript and as AssemblyScript.

/** Where the rows go. */
export const OUT = 0;
/** The first of the panels. */
export const FROM = 1;
export const FORMAT = 2;
export const COLUMNS = 3;
export const PANEL_BYTES = 4;
/** Number of the first panel, and how many. */
export const FIRST = 5;
export const COUNT = 6;
/** Rows of a group. */
export const INNER = 7;
