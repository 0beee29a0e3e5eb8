// Slots of the arguments of the optimiser's kernels. Compiled both as TypeScript and as AssemblyScript.

// squares and squaresRuns.
/** Address of one number. */
export const SUM = 0;
export const X = 1;
/** Numbers of x. */
export const NUMBERS = 2;

// adamw: a parameter, its gradient and its two moments.
export const P = 0;
export const G = 1;
export const M = 2;
export const V = 3;
/** Numbers of each. */
export const SIZE = 4;
/** Sums of squares that make up the norm, and how many. */
export const SQUARES = 5;
export const COUNT = 6;
export const MAX_NORM = 7;
/** How much of each moment stays, and what comes to it. */
export const BETA1 = 8;
export const REST1 = 9;
export const BETA2 = 10;
export const REST2 = 11;
/** Factors that make up for moments that began at 0. */
export const CORRECTION1 = 12;
export const CORRECTION2 = 13;
export const EPS = 14;
export const RATE = 15;
/** What weight decay leaves of a parameter. */
export const KEEP = 16;
