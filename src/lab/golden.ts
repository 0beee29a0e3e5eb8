import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { paramsOf, shapeOf } from "../attention/define.ts";
import { checkSizes } from "../attention/layer.ts";
import { ReferenceDevice } from "../device/reference.ts";
import { WasmDevice } from "../device/wasm.ts";
import { readJson } from "../file/folder.ts";
import { checkTensors, familyOf, loadModel, readWeights } from "../file/load.ts";
import { openSafetensors, type TensorReader } from "../file/safetensors.ts";
import { latentAttention, latentKeys, latentSources } from "../model/deepseek.ts";
import { readConfig } from "../model/family.ts";
import { FormatError } from "../tensor/error.ts";
import type { Device } from "../tensor/tensor.ts";
import { compareLayer, compareModel, type Expected, Ledger, type Oracle } from "./oracle.ts";

/** How one golden case went. Numbers are those of the tensor that came closest to, or went furthest past, its tolerance. */
export interface GoldenCase {
  readonly name: string;
  readonly kind: string;
  readonly status: "pass" | "fail" | "unsupported";
  /** Largest absolute difference; null where nothing could be compared. */
  readonly maxError: number | null;
  readonly tolerance: number | null;
  readonly reason?: string;
}

/** All cases of a directory, by name, and how many there are of each status. */
export interface GoldenReport {
  readonly cases: readonly GoldenCase[];
  readonly pass: number;
  readonly fail: number;
  readonly unsupported: number;
}

/** How to run golden cases. */
export interface GoldenOptions {
  /** Sees each case as it is done. */
  readonly onCase?: (result: GoldenCase) => void;
  /** Where to run; the float64 reference and float32 wasm unless given. */
  readonly devices?: readonly Device[];
}

const SMALL = 4_000_000;
const PLAIN = /^(?!\.\.?$)[^/\\\0]+$/;
const tolerances = z.record(z.string(), z.unknown());
const manifest = z.looseObject({
  kind: z.string(),
  checkpoint_dir: z.string().regex(PLAIN).default("ckpt"),
  prefill_len_for_decode: z.number().int().min(1).optional(),
  oracle_config_override: z.unknown().optional(),
  tolerance: tolerances.optional(),
});
type Manifest = z.infer<typeof manifest>;

/** A case that this version has no counterpart for. */
class Unsupported extends Error {}

/**
 * Runs every golden case of a directory: those its index.json lists and every subfolder with a manifest.json; or the one case
 * that the directory itself is. A case that cannot be read is a fail with its reason, one of a kind or model that is not
 * known is unsupported, and the run goes on.
 *
 * Errors: FormatError where the directory or its index is not what it should be, DeviceError where wasm does not start.
 */
export async function verifyGolden(dir: string, options: GoldenOptions = {}): Promise<GoldenReport> {
  const folders = await caseFolders(dir);
  const devices = options.devices ?? [new ReferenceDevice(), await WasmDevice.open()];
  const cases: GoldenCase[] = [];
  try {
    for (const { name, path, kind } of folders) {
      const result = await runCase(name, path, kind, devices);
      cases.push(result);
      options.onCase?.(result);
    }
  } finally {
    if (!options.devices) for (const device of devices) device.close();
  }
  const number = (status: GoldenCase["status"]) => cases.filter((c) => c.status === status).length;
  return { cases, pass: number("pass"), fail: number("fail"), unsupported: number("unsupported") };
}

async function caseFolders(dir: string): Promise<{ name: string; path: string; kind?: string }[]> {
  const there = await stat(dir).catch(() => undefined);
  if (!there?.isDirectory())
    throw new FormatError(
      `${dir}: got ${there ? "a file" : "no such folder"}, expected a folder of golden cases; check the path`,
    );
  const kinds = new Map<string, string | undefined>();
  const files = await readdir(dir, { withFileTypes: true });
  if (files.some(({ name }) => name === "index.json")) {
    const schema = z.object({
      list: z.array(z.object({ case: z.string().regex(PLAIN), kind: z.string().optional() })),
    });
    for (const entry of (await readJson(join(dir, "index.json"), SMALL, schema)).list)
      kinds.set(entry.case, entry.kind);
  } else if (files.some(({ name }) => name === "manifest.json")) return [{ name: basename(resolve(dir)), path: dir }];
  for (const { name } of files)
    if (!kinds.has(name) && (await stat(join(dir, name, "manifest.json")).catch(() => undefined)))
      kinds.set(name, undefined);
  if (kinds.size === 0)
    throw new FormatError(
      `${dir}: got no golden case, expected index.json or subfolders with a manifest.json; check the path`,
    );
  return [...kinds]
    .map(([name, kind]) => ({ name, path: join(dir, name), ...(kind && { kind }) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function runCase(
  name: string,
  path: string,
  listed: string | undefined,
  devices: readonly Device[],
): Promise<GoldenCase> {
  const nothing = { maxError: null, tolerance: null };
  let kind = listed ?? "unknown";
  try {
    const said = await readJson(join(path, "manifest.json"), SMALL, manifest);
    kind = said.kind;
    const run = kind === "whole_model" ? wholeModel : kind === "attention_layer" ? attentionLayer : undefined;
    if (!run) throw new Unsupported(`kind ${JSON.stringify(kind)} is not supported`);
    const ledger = new Ledger();
    const missed = (await run(path, said, devices, ledger)).filter(
      (tensor) => tensor !== "input_ids" && !ledger.compared.has(tensor),
    );
    const { passed, worst } = ledger;
    const reason = ledger.reason ?? (missed.length ? `not compared: ${missed.join(", ")}` : undefined);
    return {
      ...{ name, kind, status: passed ? "pass" : "fail" },
      maxError: worst?.error ?? null,
      tolerance: worst?.tolerance ?? null,
      ...(reason && { reason }),
    };
  } catch (error) {
    const status = error instanceof Unsupported ? "unsupported" : "fail";
    return { name, kind, status, ...nothing, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Runs a checkpoint against its io.safetensors; the names of the tensors there. */
async function wholeModel(path: string, said: Manifest, devices: readonly Device[], ledger: Ledger): Promise<string[]> {
  const checkpoint = join(path, said.checkpoint_dir);
  const config = await readJson(join(checkpoint, "config.json"), SMALL, z.looseObject({ model_type: z.unknown() }));
  if (!familyOf(config.model_type))
    throw new Unsupported(`model_type ${JSON.stringify(config.model_type)} is not supported`);
  if (said.oracle_config_override)
    throw new Unsupported("the oracle ran with another config than the checkpoint's, which is not supported");
  const oracle = await readModelOracle(path, said);
  for (const device of devices) {
    const { model, weights } = await loadModel(checkpoint, device);
    try {
      await compareModel(model, weights, oracle, ledger);
    } finally {
      for (const t of weights.values()) t.free();
    }
  }
  return [...oracle.tensors.keys()];
}

/** What a whole-model case expects: io.safetensors and its manifest. Throws FormatError. */
export async function readModelOracle(path: string, said?: Manifest): Promise<Oracle> {
  const { tolerance, prefill_len_for_decode: prefill } =
    said ?? (await readJson(join(path, "manifest.json"), SMALL, manifest));
  if (prefill === undefined)
    throw new FormatError(`${path}/manifest.json: prefill_len_for_decode: got nothing, expected a number of tokens`);
  const tensors = await expectedOf(await openSafetensors(join(path, "io.safetensors")));
  // Not targets: the ids are what goes in, the float64 shadow is there to judge the tolerance by.
  tensors.delete("logits_fp64");
  const limit = (name: string) =>
    positive(path, `${name.split(/[._]/)[0]}_abs`, tolerance?.[`${name.split(/[._]/)[0]}_abs`]);
  return { tensors, prefill, tolerance: limit };
}

/** Runs one MLA layer against its expected.safetensors; the names of the tensors there. */
async function attentionLayer(
  path: string,
  said: Manifest,
  devices: readonly Device[],
  ledger: Ledger,
): Promise<string[]> {
  const layer = await readLayerCase(path, said);
  for (const device of devices) {
    const weights = await readWeights(layer.reader, layer.parameters, layer.sources, device);
    try {
      await compareLayer(layer.attention, Object.fromEntries(weights), layer.input, layer.oracle, ledger);
    } finally {
      for (const t of weights.values()) t.free();
    }
  }
  return [...layer.oracle.tensors.keys()];
}

const layerSchema = z.object({
  ...latentKeys,
  decode_prefill_len: z.number().int().min(1),
  rope_interleave: z.boolean().default(true),
  // The layer's own eps is fixed, so a case of another is one we cannot run.
  latent_norm_eps: z.literal(1e-6).optional(),
  softmax_scale: z.number().optional(),
  batch: z.number().optional(),
  seq_len: z.number().optional(),
});

/** An MLA layer case: the layer, where its weights lie, its input and what is expected of it. Throws FormatError. */
export async function readLayerCase(path: string, said?: Manifest) {
  const { tolerance } = said ?? (await readJson(join(path, "manifest.json"), SMALL, manifest));
  const raw = await readJson(join(path, "config.json"), SMALL, z.record(z.string(), z.unknown()));
  if (!("kv_lora_rank" in raw)) throw new Unsupported("no kv_lora_rank: layers other than MLA are not supported");
  const config = readConfig(raw, layerSchema);
  const attention = latentAttention(config, config.rope_interleave ? "interleaved" : "half");
  const { variant, sizes } = attention;
  checkSizes(variant, sizes);
  const sources = new Map(Object.entries(latentSources(sizes, "")));
  const parameters = paramsOf(variant, sizes).map(([name, axes]) => ({ name, axes, shape: shapeOf(axes, sizes) }));
  const reader = await openSafetensors(join(path, "weights.safetensors"));
  checkTensors(reader, sources);
  const input = (await expectedOf(await openSafetensors(join(path, "inputs.safetensors")))).get("hidden_states");
  if (!input) throw new FormatError(`${path}/inputs.safetensors: got no tensor hidden_states, expected it`);
  const oracle: Oracle = {
    tensors: await expectedOf(await openSafetensors(join(path, "expected.safetensors"))),
    prefill: config.decode_prefill_len,
    tolerance: (name) => positive(path, name, (tolerance?.[name] as { max_abs?: unknown } | undefined)?.max_abs),
  };
  return { attention, reader, parameters, sources, input, oracle };
}

function positive(path: string, key: string, value: unknown): number {
  if (typeof value !== "number" || !(value > 0))
    throw new FormatError(
      `${path}/manifest.json: tolerance of ${key}: got ${JSON.stringify(value)}, expected a positive number`,
    );
  return value;
}

async function expectedOf(reader: TensorReader): Promise<Map<string, Expected>> {
  const all = new Map<string, Expected>();
  for (const name of reader.names) all.set(name, { shape: reader.entry(name).shape, values: await reader.read(name) });
  return all;
}
