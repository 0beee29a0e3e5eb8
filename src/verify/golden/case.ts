import { join } from "node:path";
import { z } from "zod";
import { type Config, readConfig } from "../../family/config.ts";
import { openSafetensors } from "../../file/disk.ts";
import { readJson } from "../../file/folder.ts";
import { FormatError } from "../../tensor/error.ts";
import type { Expected, Oracle } from "./ledger.ts";

/** The most bytes that a JSON file of a case may have. */
export const SMALL = 4_000_000;
/** A name that stays in its folder. */
export const PLAIN = /^(?!\.\.?$)[^/\\\0]+$/;

const schema = z.looseObject({
  kind: z.string(),
  checkpoint_dir: z.string().regex(PLAIN).default("ckpt"),
  prefill_len_for_decode: z.number().int().min(1).optional(),
  oracle_config_override: z.unknown().optional(),
  tolerance: z.record(z.string(), z.unknown()).optional(),
  meaning: z.record(z.string(), z.unknown()).optional(),
  notes: z.array(z.string()).optional(),
  args: z.record(z.string(), z.unknown()).optional(),
});

/** What a case says of itself, as far as it is used here. */
export type Manifest = z.infer<typeof schema>;

/** A case that this version has no counterpart for. */
export class Unsupported extends Error {}

/** Reads a case's manifest.json. Throws FormatError. */
export function readManifest(path: string): Promise<Manifest> {
  return readJson(join(path, "manifest.json"), SMALL, schema);
}

/** Reads a case's config.json as it is. Throws FormatError. */
export function readRawConfig(path: string): Promise<Config> {
  return readJson(join(path, "config.json"), SMALL, z.record(z.string(), z.unknown()));
}

/** Keys that only describe: what the tensors show themselves, prose, and how the oracle was run. */
const descriptive =
  /^(batch|batch_size|seq_len|seqlen|q_len|kv_len|decode_prefill_len|seed|name|case|notes?|description|about|mode|layer_idx|compute_dtype)$|layout|^chunk_size|initial_state|^initializer_range$/;

/** Reads a case's config by a schema, past keys that only describe. Throws FormatError naming a key that is not known. */
export function readCaseConfig<T>(config: Config, known: z.ZodObject<z.ZodRawShape> & z.ZodType<T>): T {
  const kept = Object.entries(config).filter(([key]) => key in known.shape || !descriptive.test(key));
  return readConfig(Object.fromEntries(kept), known);
}

/** Throws FormatError where the config has the key and it says another number than the weights do. */
export function checkAgrees(key: string, said: number | null | undefined, found: number): void {
  if (said !== undefined && said !== null && said !== found)
    throw new FormatError(`config.json: ${key}: got ${said}, expected ${found} by the shapes of the weights`);
}

/** All tensors of one of the case's safetensors files, by name. Throws FormatError. */
export async function tensorsOf(path: string, file: string): Promise<Map<string, Expected>> {
  const reader = await openSafetensors(join(path, file));
  const all = new Map<string, Expected>();
  for (const name of reader.names) all.set(name, { shape: reader.entry(name).shape, values: await reader.read(name) });
  return all;
}

/** What a layer or op case expects. Tensors that only show the size of an effect are left out: they are no targets. */
export async function readOracle(path: string, said: Manifest, prefill: number): Promise<Oracle> {
  const tensors = await tensorsOf(path, "expected.safetensors");
  for (const name of tensors.keys()) if (/_bf16_tables$|_fp64$/.test(name)) tensors.delete(name);
  const limit = (name: string) => {
    const given = said.tolerance?.[name];
    return positive(path, name, typeof given === "object" ? (given as { max_abs?: unknown } | null)?.max_abs : given);
  };
  return { tensors, prefill, tolerance: limit };
}

/** A tolerance of the manifest. Throws FormatError where it is none. */
export function positive(path: string, key: string, value: unknown): number {
  if (typeof value !== "number" || !(value > 0))
    throw new FormatError(
      `${path}/manifest.json: tolerance of ${key}: got ${JSON.stringify(value)}, expected a positive number`,
    );
  return value;
}

/** One way to run a sequence: under which of an oracle's names its outputs go, and how many tokens go in at a time. */
export interface Cut {
  readonly name: "prefill" | "decode";
  /** For messages. */
  readonly from: string;
  readonly chunks: readonly number[];
}

/** Ways to cut `length` tokens: all at once, in pieces, a prefill and then one by one, and one by one from the first. */
export function cuts(length: number, prefill: number): Cut[] {
  const ones = (n: number) => Array.from({ length: Math.max(0, n) }, () => 1);
  const pieces = Array.from({ length: Math.ceil(length / 5) }, (_, i) => Math.min(5, length - 5 * i));
  const all: Cut[] = [
    { name: "prefill", from: "at once", chunks: [length] },
    ...(length > 5 ? [{ name: "prefill" as const, from: "in pieces of 5", chunks: pieces }] : []),
    { name: "decode", from: `from ${prefill}`, chunks: [prefill, ...ones(length - prefill)] },
    { name: "decode", from: "from 1", chunks: ones(length) },
  ];
  return prefill === 1 ? all.slice(0, -1) : all;
}
