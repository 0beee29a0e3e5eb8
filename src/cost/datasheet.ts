import type { Link } from "./link.ts";
import type { Dtype } from "./type.ts";

/** A machine as its vendor describes it. */
export interface Datasheet {
  /** As people type it: "h100-sxm". */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly kind: "data centre" | "workstation" | "consumer" | "Apple" | "phone" | "CPU";
  /** Bytes. */
  readonly memory: number;
  /** The share of them that is there for a model without settings of the user's; all unless given. */
  readonly usable?: number;
  /** Bytes per second between memory and the processor. */
  readonly bandwidth: number;
  /**
   * FLOP/s of matrix products by the type of both operands, dense, adding up in float32 where the vendor tells that apart. Weights of a
   * type that is missing are widened as they are read, and computed with at the rate of float16.
   */
  readonly flops: Readonly<Partial<Record<Dtype, number>>> & { readonly float32: number; readonly float16: number };
  /** What joins several of them in a node, and nodes; a group of more than both join is refused. */
  readonly link?: Link;
  readonly network?: Link;
  /** Sixteen lanes or what stands for them between a card and its host's memory. */
  readonly host?: Link;
  /** Seconds that an op takes whatever its size; vendors publish none, so only a measured machine has one. */
  readonly overhead?: number;
  /** Who says so, and which of the figures are derived or from others. */
  readonly source: string;
}

export const [GB, GiB, T] = [1e9, 2 ** 30, 1e12];

/** Rates in TFLOP/s: float32, 16-bit floats, and floats of 8 and 4 bits (NVFP4, MXFP4) where the machine computes with them. */
export const rates = (float32: number, half: number, float8?: number, float4?: number) => ({
  float32: float32 * T,
  float16: half * T,
  bfloat16: half * T,
  ...(float8 && { float8: float8 * T }),
  ...(float4 && { int4: float4 * T }),
});
