import { join } from "node:path";
import { z } from "zod";
import { loadModel } from "../../checkpoint/load.ts";
import type { Config } from "../../family/config.ts";
import { familyOf } from "../../family/families.ts";
import { readJson } from "../../file/folder.ts";
import { generate, idsOf } from "../../generate/generate.ts";
import { Session } from "../../generate/session.ts";
import { formsOf, type Model } from "../../model/model.ts";
import type { Weights } from "../../model/transformer.ts";
import { FormatError } from "../../tensor/error.ts";
import type { Device } from "../../tensor/tensor.ts";
import { cuts, type Manifest, positive, readManifest, SMALL, tensorsOf, Unsupported } from "./case.ts";
import { type Ledger, type Oracle, part } from "./ledger.ts";

/** An oracle, and in which order it keeps interleaved rotary keys. */
export interface ModelOracle extends Oracle {
  readonly keys?: "rotated" | "halves";
}

/** Runs a checkpoint against its io.safetensors; the names of the tensors there. */
export async function runModelCase(
  path: string,
  said: Manifest,
  devices: readonly Device[],
  ledger: Ledger,
): Promise<string[]> {
  const checkpoint = join(path, said.checkpoint_dir);
  const config = await readConfigOf(checkpoint);
  if (!familyOf(config.model_type))
    throw new Unsupported(`model_type ${JSON.stringify(config.model_type)} is not supported`);
  const oracle = await readModelOracle(path, said);
  for (const device of devices)
    for (const lay of device.packedBytes ? (["plain", "packed"] as const) : (["plain"] as const)) {
      const override = overridden(config, said.oracle_config_override);
      const { model, weights } = await loadModel(checkpoint, device, { override, weights: lay });
      try {
        await compareModel(model, weights, oracle, ledger);
      } finally {
        for (const t of weights.values()) t.free();
      }
    }
  return [...oracle.tensors.keys()];
}

function readConfigOf(checkpoint: string) {
  return readJson(join(checkpoint, "config.json"), SMALL, z.looseObject({ model_type: z.unknown() }));
}

/**
 * A config with what the oracle ran with instead, key by key however deep; "a.b" is key b of a. A remark in words, which is no
 * object, changes nothing: the numbers will tell.
 */
export function overridden(config: Config, by: unknown): Config {
  const result: Record<string, unknown> = { ...config };
  if (isRecord(by))
    for (const [key, value] of Object.entries(by)) {
      const [first = key, ...rest] = key.split(".");
      const inner = rest.length ? { [rest.join(".")]: value } : value;
      const there = result[first];
      result[first] = isRecord(inner) ? overridden(isRecord(there) ? there : {}, inner) : inner;
    }
  return result;
}

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null && !Array.isArray(x);

/** What a whole-model case expects: io.safetensors and its manifest. Throws FormatError. */
export async function readModelOracle(path: string, said?: Manifest): Promise<ModelOracle> {
  const { tolerance, prefill_len_for_decode: prefill, checkpoint_dir: dir } = said ?? (await readManifest(path));
  if (prefill === undefined)
    throw new FormatError(`${path}/manifest.json: prefill_len_for_decode: got nothing, expected a number of tokens`);
  const tensors = await tensorsOf(path, "io.safetensors");
  // Not targets: the ids are what goes in, the float64 shadow is there to judge the tolerance by.
  tensors.delete("logits_fp64");
  const limit = (name: string) =>
    positive(path, `${name.split(/[._]/)[0]}_abs`, tolerance?.[`${name.split(/[._]/)[0]}_abs`]);
  const { model_type: type } = await readConfigOf(join(path, dir));
  // Later code than V2's splits what it has rotated into halves.
  return { tensors, prefill, tolerance: limit, keys: type === "deepseek_v2" ? "rotated" : "halves" };
}

/**
 * Runs a model in every form, at once and step by step, and compares logits, hidden states, caches and greedy choices with
 * an oracle's: `input_ids [b, t]`, `logits_prefill` and `logits_decode [b, t, w]`, `hidden.i [b, t, d]`,
 * `cache.i.0/1 [b, 1, t, n]`, `greedy_ids [b, n]`; each but the first where it is there. Throws FormatError.
 */
export async function compareModel(model: Model, weights: Weights, oracle: ModelOracle, ledger: Ledger): Promise<void> {
  const { tensors, prefill, tolerance } = oracle;
  const input = tensors.get("input_ids");
  const [batch = 0, length = 0] = input?.shape ?? [];
  if (input?.shape.length !== 2 || prefill < 1 || prefill > length)
    throw new FormatError(
      `input_ids: got [${input?.shape}] and a prefill of ${prefill}, expected [batch, tokens] to hold it`,
    );
  const { device, packing } = weights.get("embed")!;
  const kind = packing ? `${device.kind}, packed` : device.kind;
  for (const form of formsOf(model))
    for (let item = 0; item < batch; item++) {
      const ids = Int32Array.from(part(input, item));
      const compare = (name: string, where: string, got: ArrayLike<number>) => {
        const expected = tensors.get(name);
        if (expected) ledger.add(name, where, got, part(expected, item), tolerance(name));
      };
      for (const { name, from, chunks } of cuts(length, prefill)) {
        const where = `${form}, ${from}, sequence ${item}, ${kind}`;
        const found = await walk(model, weights, ids, chunks, form);
        compare(`logits_${name}`, where, found.logits);
        for (const [i, hidden] of found.hidden.entries()) compare(`hidden.${i}`, where, hidden);
        for (const { name, turned, values } of found.caches)
          compare(name, where, turned && oracle.keys === "halves" ? inHalves(values, turned) : values);
      }
      const greedy = tensors.get("greedy_ids");
      if (greedy) {
        const wanted = part(greedy, item);
        const session = new Session(model, weights, { context: prefill + wanted.length });
        const steps = generate(session, ids.slice(0, prefill), { maxTokens: wanted.length, temperature: 0, form });
        const got = await idsOf(steps).finally(() => session.free());
        ledger.same("greedy_ids", `${form}, sequence ${item}, ${kind}`, got, wanted);
      }
    }
}

/** Feeds one sequence through a session in chunks; all logits, hidden states and, at the end, caches. */
export async function walk(model: Model, weights: Weights, ids: Int32Array, chunks: readonly number[], form: string) {
  const session = new Session(model, weights, { context: ids.length });
  const logits: number[] = [];
  const hidden: number[][] = Array.from({ length: model.layers.length + 1 }, () => []);
  try {
    for (const n of chunks) {
      const seen: Promise<ArrayLike<number>>[] = [];
      const out = session.append(ids.slice(session.length, session.length + n), {
        form,
        watch: (state) => seen.push(state.read()),
      });
      logits.push(...Array.from(await out.read()));
      out.free();
      for (const [i, values] of (await Promise.all(seen)).entries()) hidden[i]!.push(...Array.from(values));
    }
    const caches: { name: string; turned: number; values: ArrayLike<number> }[] = [];
    // In the order of the definition: for MLA the latent, then the rotary key.
    for (const [i, cache] of session.caches.entries()) {
      const { sizes, rotation } = model.layers[i]!.attention;
      for (const [j, part] of Object.keys(cache.rows).entries()) {
        const turned = part === "kr" && rotation.layout === "interleaved" ? sizes.r : 0;
        caches.push({ name: `cache.${i}.${j}`, turned, values: await cache.read(part) });
      }
    }
    return { logits, hidden, caches };
  } finally {
    session.free();
  }
}

/** Rows of `width` numbers, each with its even places first and then its odd ones. */
function inHalves(values: ArrayLike<number>, width: number): number[] {
  return Array.from({ length: values.length }, (_, at) => {
    const [row, i] = [Math.floor(at / width), at % width];
    return values[row * width + ((2 * i) % width) + (2 * i >= width ? 1 : 0)]!;
  });
}
