// Numbers of the packed formats, as kernels are told them. Compiled both as TypeScript and as AssemblyScript.

export const F32 = 0;
export const F16 = 1;
export const BF16 = 2;
export const F8_E4M3 = 3;
export const Q8_0 = 4;
export const Q4_0 = 5;
export const Q4_K = 6;
export const Q6_K = 7;
export const Q4_1 = 8;
