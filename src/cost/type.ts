/** Types of a cached number or a weight: their names, and the bytes of one. Scales beside them are not in it. */
export const dtypes = {
  float32: 4,
  bfloat16: 2,
  float16: 2,
  float8: 1,
  int8: 1,
  int4: 0.5,
} as const;
/** The name of a type. */
export type Dtype = keyof typeof dtypes;

/** How weights are kept: in one type, or as the model's file has them. */
export type WeightType = Dtype | "file";
