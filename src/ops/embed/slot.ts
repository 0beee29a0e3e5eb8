// Slots of the arguments of kernels that gather and scatter rows. Compiled both as TypeScript and as AssemblyScript.

/** Where rows go: scattering, the table. */
export const OUT = 0;
/** Where they come from: gathering, the table. */
export const FROM = 1;
/** Numbers of the rows. */
export const INDICES = 2;
export const COUNT = 3;
export const WIDTH = 4;
/** Whether they are int32 (0) or float32 (1). */
export const KIND = 5;
/** Indices and rows of a part. */
export const PER_PART = 6;
export const ROWS = 7;
// Where the table is packed.
export const FORMAT = 8;
export const PANEL_BYTES = 9;
