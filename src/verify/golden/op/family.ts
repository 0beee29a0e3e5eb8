import { z } from "zod";
import type { Config } from "../../../family/config.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Device, scope, type Tensor, tensor } from "../../../tensor/tensor.ts";
import type { Manifest } from "../case.ts";
import { type Expected, type Oracle, part } from "../ledger.ts";

/** A bare operator: how it is told by its case, and how it runs. */
export interface OpFamily {
  /** Whether a case with these inputs and this config is one of its. */
  knows(has: (input: string) => boolean, config: Config): boolean;
  /** Computes on one device, at once and step by step, and compares. Throws FormatError. */
  run(given: OpCase, device: Device, compare: Compare): Promise<void>;
}

/** An op case: arrays with tokens before heads, whatever the case's own layout was. */
export interface OpCase {
  readonly config: Config;
  readonly said: Manifest;
  /** An input `[batch, tokens, ...]`. Throws FormatError where there is none. */
  input(name: string): Expected;
  has(name: string): boolean;
  readonly oracle: Oracle;
}

/** Compares numbers with what is expected under this name, if anything is; `exactly` for whole numbers. */
export type Compare = (name: string, how: string, got: ArrayLike<number>, exactly?: "exactly") => void;

/** An array on the device with sequences one after the other: `[batch tokens, ...]`. */
export function rowsOf(device: Device, { shape: [batch = 1, t = 1, ...rest], values }: Expected): Tensor {
  return tensor(device, [batch * t, ...rest], values);
}

/** One sequence of an array: `[tokens, ...]`. */
export function sequenceOf(device: Device, x: Expected, item: number): Tensor {
  return tensor(device, x.shape.slice(1), part(x, item));
}

/** Computes a tensor in a scope of its own and gives its numbers. */
export async function numbersOf(device: Device, compute: () => Tensor): Promise<ArrayLike<number>> {
  const t = scope(device, compute);
  const values = await t.read();
  t.free();
  return values;
}

/** The factor on scores that a config gives: a number, or "D^-0.5" of the width; that too where it says nothing. */
export function scaleOf(value: unknown, width: number): number {
  if (typeof value === "number" && value > 0) return value;
  if (value === undefined || value === null || value === "D^-0.5") return width ** -0.5;
  throw new FormatError(`config.json: scale: got ${JSON.stringify(value)}, expected a positive number or "D^-0.5"`);
}

/** Keys that repeat the sizes of the inputs. */
export const sizeKeys = Object.fromEntries(
  ["heads", "q_heads", "kv_heads", "v_heads", "num_heads", "num_v_heads", "head_dim", "k_dim", "v_dim", "qk_dim"]
    .concat(["index_heads", "index_dim", "q_rank", "rank"])
    .map((key) => [key, z.number().nullish()]),
);
