import { type Dtype, dtypes } from "../../cost/type.ts";

/** Types that GGML quantises in blocks of 32: bytes of a block, its scale and, of the _1 types, its offset included. */
const blocks = { q8_0: 34, q5_1: 24, q5_0: 22, q4_1: 20, q4_0: 18, iq4_nl: 18 } as const;

/** These types by GGML's names. */
export const ggmlNames = Object.keys(blocks) as (keyof typeof blocks)[];

/** A type that an engine can keep numbers in: one of Biform's, or one of GGML's by its name. */
export type CacheType = Dtype | keyof typeof blocks;

const isBlocked = (type: CacheType): type is keyof typeof blocks => Object.hasOwn(blocks, type);

/** GGML's type for one of Biform's, as llama.cpp's -ctk and -ctv take it: 8 and 4 bits are q8_0 and q4_0; there is no 8-bit float. */
const ggmlTypes: Readonly<Partial<Record<CacheType, CacheType>>> = { int8: "q8_0", int4: "q4_0" };

/** Bytes of a row of so many numbers in llama.cpp; undefined where it has no such type, or no whole blocks of 32. */
export function ggmlRow(asked: CacheType, numbers: number): number | undefined {
  const type = ggmlTypes[asked] ?? asked;
  if (type === "float8") return undefined;
  if (!isBlocked(type)) return numbers * dtypes[type];
  return numbers % 32 === 0 ? (numbers / 32) * blocks[type] : undefined;
}

/** Bytes of one number of a type without scales of its own; undefined for those that have some. */
export function plainBytes(type: CacheType): number | undefined {
  return type === "int8" || type === "int4" || isBlocked(type) ? undefined : dtypes[type];
}
