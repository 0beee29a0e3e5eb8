import { z } from "zod";
import type { Dtype } from "../../cost/type.ts";
import { type Config, count } from "../../family/config.ts";
import { readKeys } from "./settings.ts";

/** Bytes of a weight, its share of scales and zeros included, in a matrix of outputs that each sum over so many numbers. */
export type Width = (inner: number) => number;

/** Which matrices of a model are quantised, and how. */
export interface Scheme {
  /** In a few words: "fp8 in blocks of 128 x 128". */
  readonly about: string;
  /**
   * The first whose names include a matrix says its width; without names, all that no other names. `product`: the type that what is
   * multiplied with them is made, too; without it weights are widened to 16 bits as they are read.
   */
  readonly rules: readonly {
    readonly named?: readonly string[];
    readonly width: Width;
    readonly product?: Dtype | undefined;
  }[];
  /** Modules that are left as they are. */
  readonly spared: readonly string[];
  /** Of the head, and of the embedding, where these are quantised too. */
  readonly head?: Width | undefined;
  readonly embedding?: Width | undefined;
  /** Of tables beside the vocabulary's, where these are quantised. */
  readonly table?: Width | undefined;
}

export const bits = z.number().min(1).max(32);
export const group = z
  .number()
  .int()
  .min(-1)
  .max(2 ** 20);
export const names = z.array(z.string().max(10_000)).max(20_000);
export const block = z.tuple([count(2 ** 20), count(2 ** 20)]);

/** Numbers of so many bits, and for every group of them a scale and zeros of so many more; a group below 1 is a whole row. */
export const perGroup =
  (bits: number, group: number, more: number): Width =>
  (inner) =>
    (bits + more / (group > 0 ? Math.min(group, inner) : inner)) / 8;
/** Numbers of so many bits, with one scale for a whole tensor. */
export const perTensor = (bits: number): Width => perGroup(bits, 2 ** 20, 0);
/** Numbers of so many bits, and a scale of so many more for each block. */
export const perBlock =
  (bits: number, [rows, columns]: readonly [number, number], more: number): Width =>
  () =>
    (bits + more / (rows * columns)) / 8;
export const nvfp4 = perGroup(4, 16, 8);
export const mxfp4 = perGroup(4, 32, 8);

/** What reads some keys of a quantization config, checked; their schema is made when it is first asked for, and once. */
export function reading<S extends z.ZodRawShape>(shape: S): (config: Config) => z.infer<z.ZodObject<S>> {
  let schema: z.ZodObject | undefined;
  return (config) => {
    schema ??= z.object({ quantization_config: z.object(shape) });
    return readKeys({ quantization_config: config }, schema).quantization_config as z.infer<z.ZodObject<S>>;
  };
}

const sparedKeys = reading({ modules_to_not_convert: names.nullish() });
export const readSpared = (config: Config) => sparedKeys(config).modules_to_not_convert ?? [];
export const sayGroup = (size: number) => (size > 0 ? `by ${size}` : "by row");
