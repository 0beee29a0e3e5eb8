// Slots of the arguments of attention's kernels, factored keys and values included. Compiled both as TypeScript and as
// AssemblyScript.

export const BATCH = 0;
export const T = 1;
export const S = 2;
export const H = 3;
export const SCALE = 4;
export const CAUSAL = 5;
export const WINDOW = 6;
/** Heads folded into rows, and how many such groups there are. */
export const FOLDED = 7;
export const GROUPS = 8;
/** How many terms and values there are, and their summed widths. */
export const TERMS = 9;
export const VALUES = 10;
export const TERM_WIDTH = 11;
export const VALUE_WIDTH = 12;
export const OUT = 13;
export const LSE = 14;
/** How the call is cut up: Plan in wasm.ts. */
export const BLOCK = 15;
export const ROWS_PER_PIECE = 16;
export const ROW_PIECES = 17;
export const KEYS_PER_PIECE = 18;
export const KEY_PIECES = 19;
/** Memory for unfinished results, 0 where there are none. */
export const PARTS = 20;
/** The output's gradient, 0 forwards. */
export const GOUT = 21;
/** 1 where rows are taken one by one. */
export const FEW = 22;
/** First visible key row of each sequence, logits of sinks and their gradient; 0 where there is none. */
export const STARTS = 23;
export const SINKS = 24;
export const SINK_GRADIENT = 25;
/** 1 where weights are those of stick-breaking, where no query sees its own key, where what is left goes to its own value. */
export const STICK = 26;
export const BEHIND = 27;
export const REMAINDER = 28;
/** Keys that queries have chosen (0 for all), and how many each. */
export const CHOICES = 29;
export const CHOICE = 30;

/** Where the records of the operands begin: the terms first, then the values. */
export const OPERANDS = 31;

// Within a record.
export const WIDTH = 0;
export const KEY_HEADS = 1;
/** Rows of keys where they lie in one stretch, rows of queries; 0 where there are none. */
export const KEYS = 2;
export const QUERIES = 3;
/** Where gradients go, 0 for one that is not wanted; copies of the keys' that are to be summed, and their number. */
export const KEY_GRADIENT = 4;
export const QUERY_GRADIENT = 5;
export const KEY_COPIES = 6;
export const COPIES = 7;
/** Table of the pages on which keys lie (0 for none), type of their numbers, where rows and scales begin on a page, scales of a row. */
export const PAGES = 8;
export const TYPE = 9;
export const ROWS_AT = 10;
export const SCALES_AT = 11;
export const SCALES = 12;
/** The first operand with the same rows: this one's own number unless a value is a key. */
export const TWIN = 13;
/** Slots of a record. */
export const PER_OPERAND = 14;

// Several calls: how many, where the arguments of the first lie, and bytes from one call's to the next.
export const CALLS = 0;
export const FIRST_CALL = 1;
export const CALL_BYTES = 2;
