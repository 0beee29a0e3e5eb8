import type { Cache } from "../attention/cache.ts";
import { formNames, type Parts } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { scaleBy } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { gather } from "../ops/embed/index.ts";
import { copyTo, moveTo } from "../ops/move/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { tableOf } from "../ops/rope/rotation.ts";
import type { Device, Tensor } from "../tensor/tensor.ts";
import { type Block, cutPositions, extendBlock, partsFor, runBlock } from "./block.ts";
import { ROWS } from "./feed.ts";
import type { Model } from "./model.ts";

/** Parameters by name, as `parametersOf` lists them. */
export type Weights = ReadonlyMap<string, Tensor>;

/** The tokens to run and how. */
export interface Run {
  /** One per token of `ids`. */
  readonly positions: Int32Array;
  readonly batch?: number | undefined;
  /** Which form attention runs in: of each layer, or one name for all, where a variant without a form of this name uses its first. */
  readonly form?: string | readonly string[] | undefined;
  /** One per layer. */
  readonly caches?: readonly Cache[] | undefined;
  /** Only these rows of the last hidden state go through the head. */
  readonly rows?: readonly [from: number, to: number] | undefined;
  /** Sees each hidden state: the embeddings, each block's output, and the normed last. */
  readonly watch?: ((hidden: Tensor) => void) | undefined;
}

/**
 * Logits `[rows, vocabulary]` of token ids, `batch` sequences laid one after the other. Throws ShapeError for an id outside the
 * vocabulary or a form that a layer has not, DeviceError where there is no room.
 */
export function forward(model: Model, weights: Weights, ids: Int32Array, run: Run): Tensor {
  const { scales } = model;
  const { positions, batch, caches, form, watch } = run;
  let x = gather(weights.get("embed")!, ids);
  if (scales) x = scaleBy(x, scales.embedding);
  watch?.(x);
  const devices = layerDevices(model, weights);
  const parts = cutPositions(positions, ROWS);
  const passes = model.layers.map(({ attention }, i) => ({
    positions,
    batch,
    form: typeof form === "string" ? findForm(attention, form) : form?.[i],
    cache: caches?.[i],
  }));
  // Made out here, tables of angles serve all layers.
  if (caches)
    model.layers.forEach((layer, i) => {
      for (const part of partsFor(layer, passes[i]!, parts))
        tableOf(devices[i]!, layer.attention.rotation, part, "passing");
    });
  passes.forEach((pass, i) => {
    const block = blockOf(model, weights, i);
    const [from, device] = [x, devices[i]!];
    if (caches) {
      // In place, but where the block lies elsewhere or somebody keeps what he saw.
      if (watch || from.device !== device) x = copyTo(from, device);
      if (x !== from && !watch) from.free();
      extendBlock(block, x, pass, parts);
    } else x = runBlock(block, moveTo(from, device), pass);
    if (i < passes.length - 1) watch?.(x);
  });
  const norm = weights.get("norm")!;
  const normed = rmsNorm(moveTo(run.rows ? x.rows(...run.rows) : x, norm.device), norm, model.eps);
  watch?.(normed);
  const last = scales ? scaleBy(normed, scales.head) : normed;
  const head = weights.get("head");
  if (head) return einsum("t d, d w -> t w", last, head);
  const embed = weights.get("embed")!;
  return einsum("t d, w d -> t w", moveTo(last, embed.device), embed);
}

/** A layer with its weights. */
function blockOf(model: Model, weights: Weights, i: number): Block {
  const p = part(weights, `layers.${i}.`);
  return {
    layer: model.layers[i]!,
    norms: { attention: p.normAttention!, feed: p.normFeed! },
    attention: part(weights, `layers.${i}.attention.`),
    feed: part(weights, `layers.${i}.feed.`),
    eps: model.eps,
    scale: model.scales?.branch,
  };
}

/** The form of this name, where a layer has it. */
function findForm({ variant, sizes }: Attention, name: string): string | undefined {
  return formNames(variant, sizes).find((own) => own === name);
}

/** The device that each layer's weights live on: a model may lie in several memories. */
export function layerDevices(model: Model, weights: Weights): Device[] {
  return model.layers.map((_, i) => weights.get(`layers.${i}.normAttention`)!.device);
}

const parts = new WeakMap<Weights, Map<string, Parts>>();

/** The weights whose name starts with `prefix`, by the rest of the name; looked up once per prefix. */
function part(weights: Weights, prefix: string): Parts {
  let known = parts.get(weights);
  if (!known) {
    known = new Map();
    parts.set(weights, known);
  }
  let found = known.get(prefix);
  if (!found) {
    found = Object.fromEntries(
      [...weights].flatMap(([name, t]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [])),
    );
    known.set(prefix, found);
  }
  return found;
}
