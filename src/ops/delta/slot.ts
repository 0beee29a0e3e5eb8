// Slots of the arguments of the delta rule's kernels. Compiled both as TypeScript and as AssemblyScript.

export const BATCH = 0;
export const T = 1;
/** Heads of keys and of values, and their widths. */
export const KEY_HEADS = 2;
export const HEADS = 3;
export const KEY_WIDTH = 4;
export const VALUE_WIDTH = 5;
export const SCALE = 6;
/** Kind of decay (decay.ts). */
export const KIND = 7;
export const CHUNKS = 8;
export const Q = 9;
export const K = 10;
export const V = 11;
export const BETA = 12;
/** 0 for each that is absent; FINAL and STATES are where the last state and that before each chunk go, or come from. */
export const DECAY = 13;
export const STATE = 14;
export const FINAL = 15;
export const STATES = 16;
/** Forwards. */
export const OUT = 17;

// Backwards: 0 for a gradient that is not wanted.
export const GOUT = 18;
/** `[batch t, h, n]` each, to be summed over the heads that share a key where there are such. */
export const DQ = 19;
export const DK = 20;
export const DV = 21;
export const DBETA = 22;
export const DDECAY = 23;
/** Those sums. */
export const Q_SUM = 24;
export const K_SUM = 25;
