import type { Dtype } from "./type.ts";

/** A machine as its vendor describes it. */
export interface Datasheet {
  /** As people type it: "h100-sxm". */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly kind: "data centre" | "consumer" | "Apple" | "phone" | "CPU";
  /** Bytes. */
  readonly memory: number;
  /** Bytes per second between memory and the processor. */
  readonly bandwidth: number;
  /**
   * FLOP/s of matrix products by the type of both operands, dense, adding up in float32 where the vendor tells that apart. Weights of a
   * type that is missing are widened as they are read, and computed with at the rate of float16.
   */
  readonly flops: Readonly<Partial<Record<Dtype, number>>> & { readonly float32: number; readonly float16: number };
  /** Seconds that an op takes whatever its size; vendors publish none, so only a measured machine has one. */
  readonly overhead?: number;
  /** Who says so, and which of the figures are derived or from others. */
  readonly source: string;
}

export const [GB, GiB, T] = [1e9, 2 ** 30, 1e12];

/** Rates in TFLOP/s: float32, 16-bit floats, and 8-bit floats where the machine computes with them. */
export const rates = (float32: number, half: number, float8?: number) => ({
  float32: float32 * T,
  float16: half * T,
  bfloat16: half * T,
  ...(float8 && { float8: float8 * T }),
});
