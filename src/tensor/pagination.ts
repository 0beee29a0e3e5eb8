// How cached numbers lie on pages, as kernels are told. Compiled both as TypeScript and as AssemblyScript.

/**
 * Tokens of a page: a multiple of the 6 and 4 rows of attention's tiles in every build, and its largest block of keys, so that no
 * block of 12, 24, 48 or 96 keys lies on two pages.
 */
export const PAGE = 96;

// Numbers of the types.
export const F32 = 0;
export const BF16 = 1;
export const Q8 = 2;
