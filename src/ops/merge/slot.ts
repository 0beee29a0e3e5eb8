// Slots of the arguments of merge. Compiled both as TypeScript and as AssemblyScript.

export const OUT = 0;
export const LSE = 1;
export const ROWS = 2;
export const WIDTH = 3;
/** How many parts there are. */
export const COUNT = 4;
/** Where the records of the parts begin. */
export const PARTS = 5;

// Within a record.
export const PART_OUT = 0;
export const PART_LSE = 1;
/** Slots of a record. */
export const PER_PART = 2;
