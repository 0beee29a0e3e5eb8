// Slots of the arguments of combine. Compiled both as TypeScript and as AssemblyScript.

/** May be x or y. */
export const OUT = 0;
export const X = 1;
/** 0 for none. */
export const Y = 2;
/** Numbers of each. */
export const SIZE = 3;
export const ALPHA = 4;
export const BETA = 5;
