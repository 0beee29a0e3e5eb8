// Kinds of decay, as kernels are told them. Compiled both as TypeScript and as AssemblyScript.

export const NONE = 0;
export const PER_HEAD = 1;
export const PER_CHANNEL = 2;
