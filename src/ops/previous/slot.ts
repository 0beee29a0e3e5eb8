// Slots of the arguments of shiftRows. Compiled both as TypeScript and as AssemblyScript.

export const OUT = 0;
export const X = 1;
/** What a row at an edge becomes; 0 for zeros. */
export const EDGE = 2;
export const ROWS = 3;
export const T = 4;
export const WIDTH = 5;
/** -1: each row is the one before, 1: the one after. */
export const FROM = 6;
