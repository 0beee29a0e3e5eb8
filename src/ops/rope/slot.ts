// Slots of the arguments of rope. Compiled both as TypeScript and as AssemblyScript.

export const OUT = 0;
export const X = 1;
/** Cosines and sines. */
export const TABLE = 2;
export const ROWS = 3;
/** Vectors of a row, and their width. */
export const VECTORS = 4;
export const WIDTH = 5;
export const PAIRS = 6;
/** 1 where a pair lies side by side. */
export const INTERLEAVED = 7;
/** 1 or -1: which way. */
export const SIGN = 8;
