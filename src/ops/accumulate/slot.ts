// Slots of the arguments of accumulate. Compiled both as TypeScript and as AssemblyScript.

export const OUT = 0;
export const X = 1;
/** 0 for zeros. */
export const START = 2;
export const SEQUENCES = 3;
export const T = 4;
export const CHANNELS = 5;
/** 1 where sums run from the last token to the first. */
export const BACKWARD = 6;
