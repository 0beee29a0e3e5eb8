import type { Cache } from "../attention/cache.ts";
import { formNames, type Parts } from "../attention/define.ts";
import { type Attention, runAttention } from "../attention/layer.ts";
import { add, scaleBy } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { gather } from "../ops/embed/index.ts";
import { moveTo } from "../ops/move/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { tableOf } from "../ops/rope/rotation.ts";
import { type Device, scope, type Tensor } from "../tensor/tensor.ts";
import { feedForward } from "./feed.ts";
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
  const branch = (y: Tensor) => (scales ? scaleBy(y, scales.branch) : y);
  let x = gather(weights.get("embed")!, ids);
  if (scales) x = scaleBy(x, scales.embedding);
  run.watch?.(x);
  const block = (from: Tensor, i: number): Tensor => {
    const { attention, feed } = model.layers[i]!;
    const p = part(weights, `layers.${i}.`);
    const { device } = p.normAttention!;
    /** One half of the block: with a cache, nothing that it makes on the way is needed after it. */
    const half = (body: () => Tensor) => (run.caches ? scope(device, body) : body());
    const x = moveTo(from, device);
    const { form: wanted, positions, batch, caches } = run;
    const form = typeof wanted === "string" ? findForm(attention, wanted) : wanted?.[i];
    const y = half(() => {
      const normed = rmsNorm(x, p.normAttention, model.eps);
      const pass = { positions, batch, form, cache: caches?.[i] };
      return add(x, branch(runAttention(attention, part(weights, `layers.${i}.attention.`), normed, pass)));
    });
    // By now only a tape, or who watches, needs what went in.
    if (run.caches && !run.watch) from.free();
    return half(() => {
      const normed = rmsNorm(y, p.normFeed, model.eps);
      return add(y, branch(feedForward(feed, part(weights, `layers.${i}.feed.`), normed)));
    });
  };
  const devices = layerDevices(model, weights);
  // Made out here, a table of angles serves all layers.
  if (run.caches)
    model.layers.forEach(({ attention }, i) => void tableOf(devices[i]!, attention.rotation, run.positions, "passing"));
  model.layers.forEach((_, i) => {
    const from = x;
    // Nothing of a block is needed once the next begins, but by a tape.
    x = run.caches ? scope(devices[i]!, () => block(from, i)) : block(from, i);
    if (i < model.layers.length - 1) run.watch?.(x);
  });
  const norm = weights.get("norm")!;
  const normed = rmsNorm(moveTo(run.rows ? x.rows(...run.rows) : x, norm.device), norm, model.eps);
  run.watch?.(normed);
  const last = scales ? scaleBy(normed, scales.head) : normed;
  const head = weights.get("head");
  if (head) return einsum("t d, d w -> t w", last, head);
  const embed = weights.get("embed")!;
  return einsum("t d, w d -> t w", moveTo(last, embed.device), embed);
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
