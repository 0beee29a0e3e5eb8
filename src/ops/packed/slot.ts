// Slots of the arguments of contractions with a packed weight, steps in elements. Those of packedDots are of several
// contractions, one after the other, EACH slots each. Compiled both as TypeScript and as AssemblyScript.

export const OUT = 0;
/** Activations. */
export const X = 1;
export const WEIGHT = 2;
export const FORMAT = 3;
export const COLUMNS = 4;
export const PANEL_BYTES = 5;
/** Groups of rows, and rows of a group. */
export const GROUPS = 6;
export const INNER = 7;
/** Rows of activations, and their step, that of a group, that of a summed element. */
export const ROWS = 8;
export const X_ROW = 9;
export const X_GROUP = 10;
export const X_ELEMENT = 11;
/** Steps in out: of a row, a group, an element. */
export const OUT_ROW = 12;
export const OUT_GROUP = 13;
export const OUT_ELEMENT = 14;
/** 1 where out is added to. */
export const ADD = 15;
/** Panels of a piece (packedDots, packedTiles). */
export const RUN = 16;
/** Rows of activations that a thread keeps packed (packedProduct) or rounded (packedTiles). */
export const STRIP = 17;
/** Where the first contraction of the launch begins that is of the same activations, rounded alike (packedDots). */
export const SAME = 18;
/** Contractions of the launch, said by the first one (packedDots). */
export const COUNT = 19;
/** 1 where the machine adds products of bytes of all sizes (packedDots, packedTiles). */
export const DOTS = 20;
export const EACH = 21;
