/** Amounts as people type them: tokens, bytes, types of numbers. The command line and the page read them alike. */

import type { Dtype } from "../cost/type.ts";
import { ShapeError } from "../tensor/error.ts";

const names: Readonly<Record<string, Dtype>> = {
  f32: "float32",
  fp32: "float32",
  float32: "float32",
  bf16: "bfloat16",
  bfloat16: "bfloat16",
  f16: "float16",
  fp16: "float16",
  half: "float16",
  float16: "float16",
  f8: "float8",
  fp8: "float8",
  float8: "float8",
  q8: "int8",
  int8: "int8",
  q4: "int4",
  int4: "int4",
};

/** The names that `dtypeOf` knows. */
export const dtypeNames: readonly string[] = Object.keys(names);

/** The type that a name means, such as "f16", "bf16" or "q8"; `subject` stands before a complaint. Throws ShapeError. */
export function dtypeOf(subject: string, text: string): Dtype {
  const found = names[text.trim().toLowerCase()];
  if (!found)
    throw new ShapeError(
      `${subject}: got "${text}", expected f32, bf16, f16, fp8, q8 or q4, or a longer name of these`,
    );
  return found;
}

const tokenUnits: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20 };

/** A number of tokens, from 1 to 2^40: 4096, 128k (131072), 1M (1048576). Throws ShapeError. */
export function tokensOf(subject: string, text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*([kKmM]?)$/.exec(text.trim()) ?? [];
  const tokens = Number(digits) * tokenUnits[unit.toLowerCase()]!;
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > 2 ** 40)
    throw new ShapeError(`${subject}: got "${text}", expected tokens from 1 on, such as 4096, 128k or 1M`);
  return tokens;
}

const byteUnits: Readonly<Record<string, number>> = Object.fromEntries(
  ["", "k", "m", "g", "t"].flatMap((prefix, power) => [
    [`${prefix}b`, 1000 ** power],
    [`${prefix}ib`, 1024 ** power],
  ]),
);

/** A number of bytes, from 1 to 2^53: 24GiB, 80GB, 512 MiB. Throws ShapeError. */
export function bytesOf(subject: string, text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(digits) * (byteUnits[unit.toLowerCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new ShapeError(`${subject}: got "${text}", expected bytes with a unit, such as 24GiB or 80GB`);
  return bytes;
}
