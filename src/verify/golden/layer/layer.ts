import { join } from "node:path";
import { Cache } from "../../../attention/cache.ts";
import { formNames, type Parts, paramsOf, shapeOf } from "../../../attention/define.ts";
import { checkSizes, runAttention } from "../../../attention/layer.ts";
import { checkTensors, readWeights } from "../../../checkpoint/load.ts";
import type { Sources } from "../../../family/source.ts";
import { openSafetensors } from "../../../file/disk.ts";
import type { Parameter } from "../../../model/model.ts";
import { positionsOf } from "../../../ops/rope/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Device, scope, type Tensor, tensor } from "../../../tensor/tensor.ts";
import { cuts, type Manifest, readManifest, readOracle, readRawConfig, tensorsOf, Unsupported } from "../case.ts";
import { type Expected, type Ledger, type Oracle, part } from "../ledger.ts";
import { deltaLayers } from "./delta.ts";
import type { LayerFamily, LayerOf, Observed } from "./family.ts";
import { foxLayers } from "./fox.ts";
import { mfaLayers } from "./mfa.ts";
import { mlaLayers } from "./mla.ts";
import { tpaLayers } from "./tpa.ts";

/** Every family of layers; the first that knows a file's tensors reads it. */
const families: readonly LayerFamily[] = [mlaLayers, mfaLayers, tpaLayers, foxLayers, deltaLayers];

/** A layer case: the layer, where its weights lie, its inputs and what is expected of it. */
export interface LayerCase extends Omit<LayerOf, "sources" | "weights"> {
  /** The weights, where `sources` lie. */
  readonly reader: LayerOf["weights"];
  readonly parameters: readonly Parameter[];
  readonly sources: Sources;
  readonly inputs: ReadonlyMap<string, Expected>;
  /** Tokens of padding in front of each sequence. */
  readonly padding: readonly number[];
  readonly oracle: Oracle;
}

/** Runs one attention layer against its expected.safetensors; the names of the tensors there. */
export async function runLayerCase(
  path: string,
  said: Manifest,
  devices: readonly Device[],
  ledger: Ledger,
): Promise<string[]> {
  const layer = await readLayerCase(path, said);
  for (const device of devices) {
    const weights = await readWeights(layer.reader, layer.parameters, layer.sources, device);
    try {
      await compareLayer(layer, Object.fromEntries(weights), ledger);
    } finally {
      for (const t of weights.values()) t.free();
    }
  }
  return [...layer.oracle.tensors.keys()];
}

/** Reads a layer case. Throws FormatError, and Unsupported for a layer that no family here knows. */
export async function readLayerCase(path: string, given?: Manifest): Promise<LayerCase> {
  const said = given ?? (await readManifest(path));
  const { left_padding: padded, ...config } = await readRawConfig(path);
  const file = await openSafetensors(join(path, "weights.safetensors"));
  const family = families.find((one) => one.knows((name) => file.has(name)));
  if (!family) {
    const some = file.names.slice(0, 4).join(", ");
    throw new Unsupported(`a layer with weights such as ${some} is not supported`);
  }
  const { weights, sources: named, ...layer } = family.read(config, file, said);
  const { variant, sizes } = layer.attention;
  checkSizes(variant, sizes);
  const sources: Sources = new Map(Object.entries(named));
  checkTensors(weights, sources);
  const prefill = typeof config.decode_prefill_len === "number" ? config.decode_prefill_len : 1;
  const inputs = await tensorsOf(path, "inputs.safetensors");
  const hidden = inputs.get("hidden_states");
  const [batch = 0, length = 0, width] = hidden?.shape ?? [];
  if (hidden?.shape.length !== 3 || width !== sizes.d || !(prefill >= 1 && prefill <= length))
    throw new FormatError(
      `${path}/inputs.safetensors: hidden_states: got [${hidden?.shape ?? "nothing"}] and a prefill of ${prefill}, ` +
        `expected [batch, tokens, ${sizes.d}]`,
    );
  for (const name of inputs.keys())
    if (name !== "hidden_states" && name !== "attention_mask" && !layer.begins?.(name))
      throw new FormatError(`${path}/inputs.safetensors: ${name}: got a tensor that is not known, expected none`);
  return {
    ...layer,
    reader: weights,
    parameters: paramsOf(variant, sizes).map(([name, axes]) => ({ name, axes, shape: shapeOf(axes, sizes) })),
    sources,
    inputs,
    padding: paddingOf(path, inputs.get("attention_mask"), padded, batch, length),
    oracle: await readOracle(path, said, prefill),
  };
}

/** Tokens masked in front of each sequence, by a mask or by the config. Throws FormatError for any other mask. */
function paddingOf(path: string, mask: Expected | undefined, said: unknown, batch: number, length: number): number[] {
  return Array.from({ length: batch }, (_, item) => {
    const seen = mask && part(mask, item);
    const first = seen ? seen.indexOf(1) : ((Array.isArray(said) ? said[item] : said) ?? 0);
    const whole = Number.isInteger(first) && first >= 0 && first < length;
    if (!whole || (seen && (seen.length !== length || seen.some((value, i) => value !== (i < first ? 0 : 1)))))
      throw new FormatError(
        `${path}: padding of sequence ${item}: got ${seen ?? JSON.stringify(first)}, expected it in front of ${length} tokens`,
      );
    return first;
  });
}

/**
 * Runs a layer on `hidden_states [b, t, d]` in every form, at once and step by step, and compares outputs (`out_prefill`,
 * `out_decode`, and those that the oracle has of a form by itself, such as `out_decode_absorb`), what its family says of
 * caches and projections, and its fixed numbers. Padding in front is left out of what is run, and gives zeros. Throws
 * FormatError.
 */
export async function compareLayer(layer: LayerCase, p: Parts, ledger: Ledger): Promise<void> {
  const { attention, inputs, padding, oracle } = layer;
  const { tensors, prefill, tolerance } = oracle;
  const input = inputs.get("hidden_states")!;
  const [batch = 0, length = 0, d = 0] = input.shape;
  const { device } = p.wO!;
  for (const [name, values] of Object.entries(layer.fixed ?? {})) {
    const expected = tensors.get(name);
    if (expected) ledger.add(name, "fixed", values, expected.values, tolerance(name));
  }
  for (let item = 0; item < batch; item++) {
    const add = (name: string, how: string, { values, of = (all) => all }: Observed) => {
      const expected = tensors.get(name);
      if (!expected) return;
      ledger.add(name, `${how}, sequence ${item}, ${device.kind}`, values, of(part(expected, item)), tolerance(name));
    };
    const skipped = padding[item]!;
    const x = tensor(device, [length - skipped, d], part(input, item).slice(skipped * d));
    const ways = cuts(length - skipped, Math.max(1, prefill - skipped));
    for (const form of formNames(attention.variant, attention.sizes))
      for (const { name, from, chunks } of ways) {
        const how = `${form}, ${from}`;
        const cache = new Cache(device, attention, x.shape[0]!);
        for (const [key, given] of inputs) layer.begins?.(key)?.(cache, part(given, item));
        const values: number[] = new Array(skipped * d).fill(0);
        for (const n of chunks) {
          const out = step(layer, p, x, cache, n, form);
          values.push(...Array.from(await out.read()));
          out.free();
        }
        add(nameOf(`out_${name}`, form, tensors), how, { values });
        // What a padded token leaves is seen by none and differs.
        if (!skipped)
          for (const [key, seen] of Object.entries((await layer.cached?.(cache)) ?? {})) add(key, how, seen);
        cache.free();
      }
    if (!skipped)
      for (const [name, t] of Object.entries(projections(layer, p, x))) {
        add(name, "projection", { values: await t.read() });
        t.free();
      }
    x.free();
  }
}

/** The output's name: that of the form by itself (`out_decode_absorb` of "absorbed") where the oracle has one. */
function nameOf(plain: string, form: string, tensors: ReadonlyMap<string, unknown>): string {
  const own = [...tensors.keys()].find(
    (name) => name.startsWith(`${plain}_`) && form.startsWith(name.slice(plain.length + 1)),
  );
  return own ?? plain;
}

function step({ attention }: LayerCase, p: Parts, x: Tensor, cache: Cache, n: number, form: string): Tensor {
  // A state of fixed size has no length of its own to go by: the tokens so far are those appended.
  const start = cache.length;
  return scope(x.device, () =>
    runAttention(attention, p, x.rows(start, start + n), { positions: positionsOf(start, n), form, cache }),
  );
}

function projections({ attention, projected }: LayerCase, p: Parts, x: Tensor): Readonly<Record<string, Tensor>> {
  if (!projected) return {};
  const at = { positions: positionsOf(0, x.shape[0]!), rotation: attention.rotation, batch: 1 };
  return scope(x.device, () => {
    const made = attention.variant.project(p, x, at, attention.sizes, undefined);
    return projected(p, made as Parts, x);
  });
}
