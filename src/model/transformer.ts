import type { Cache } from "../attention/cache.ts";
import { formNames, type Parts } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { scaleBy } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { gather } from "../ops/embed/index.ts";
import { copy, copyTo, moveTo } from "../ops/move/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { tableOf } from "../ops/rope/rotation.ts";
import { type Device, Tensor } from "../tensor/tensor.ts";
import { type Block, extendBlock, runBlock, type Slice, stretchesFor } from "./block.ts";
import { rowsAtOnce } from "./feed.ts";
import type { Model } from "./model.ts";

/** Parameters by name, as `parametersOf` lists them. */
export type Weights = ReadonlyMap<string, Tensor>;

/** Sequences over caches of their own whose new rows run in one form per layer. */
export interface Group {
  /** One per layer. */
  readonly forms: readonly string[];
  /** New rows of each sequence. */
  readonly rows: readonly number[];
  /** Caches of each sequence, one per layer. */
  readonly caches: readonly (readonly Cache[])[];
}

/** The tokens to run and how. */
export interface Run {
  /** One per token of `ids`. */
  readonly positions: Int32Array;
  readonly batch?: number | undefined;
  /** Which form attention runs in, where a variant without a form of this name uses its first. */
  readonly form?: string | undefined;
  /** Instead of a form: groups whose rows `ids` holds one after the other, to go on over their caches. */
  readonly groups?: readonly Group[] | undefined;
  /** Only these rows of the last hidden state go through the head: so many from each of these on. */
  readonly rows?: readonly (readonly [from: number, to: number])[] | undefined;
  /** Sees each hidden state: the embeddings, each block's output, and the normed last. */
  readonly watch?: ((hidden: Tensor) => void) | undefined;
}

/**
 * Logits `[rows, vocabulary]` of token ids, `batch` sequences laid one after the other. Throws ShapeError for an id outside the
 * vocabulary or a form that a layer has not, DeviceError where there is no room.
 */
export function forward(model: Model, weights: Weights, ids: Int32Array, run: Run): Tensor {
  const { scales } = model;
  const { watch } = run;
  let x = gather(weights.get("embed")!, ids);
  if (scales) x = scaleBy(x, scales.embedding);
  watch?.(x);
  x = run.groups ? extendBlocks(model, weights, x, run, run.groups) : runBlocks(model, weights, x, run);
  const norm = weights.get("norm")!;
  const normed = rmsNorm(moveTo(run.rows ? rowsOf(x, run.rows) : x, norm.device), norm, model.eps);
  watch?.(normed);
  return headLogits(model, weights, normed);
}

/** Logits `[rows, vocabulary]` of normed last hidden states `[rows, d]`. */
export function headLogits({ scales }: Model, weights: Weights, normed: Tensor): Tensor {
  const last = scales ? scaleBy(normed, scales.head) : normed;
  const head = weights.get("head");
  if (head) return einsum("t d, d w -> t w", last, head);
  const embed = weights.get("embed")!;
  return einsum("t d, w d -> t w", moveTo(last, embed.device), embed);
}

function runBlocks(model: Model, weights: Weights, from: Tensor, { positions, batch, form, watch }: Run): Tensor {
  const devices = layerDevices(model, weights);
  let x = from;
  model.layers.forEach(({ attention }, i) => {
    const pass = { positions, batch, form: form === undefined ? undefined : findForm(attention, form) };
    x = runBlock(blockOf(model, weights, i), moveTo(x, devices[i]!), pass);
    if (i < model.layers.length - 1) watch?.(x);
  });
  return x;
}

/** The blocks over caches, in place. */
function extendBlocks(
  model: Model,
  weights: Weights,
  first: Tensor,
  { positions, watch }: Run,
  groups: readonly Group[],
): Tensor {
  const devices = layerDevices(model, weights);
  const slice = sliceOf(positions);
  let [row, x] = [0, first];
  const starts = groups.map(({ rows }) => {
    const start = row;
    row += rows.reduce((sum, n) => sum + n, 0);
    return [start, row] as const;
  });
  const stretches = model.layers.map((layer, i) =>
    stretchesFor(
      layer,
      groups.map(({ forms, rows, caches }, g) => ({
        positions: slice(...starts[g]!),
        form: forms[i],
        rows,
        caches: caches.map((own) => own[i]!),
      })),
      slice,
      rowsAtOnce(weights.get(`layers.${i}.attention.wO`) ?? weights.get(`layers.${i}.normAttention`)!),
    ),
  );
  // Made out here, tables of angles serve all layers.
  stretches.forEach((own, i) => {
    for (const pass of own.flat()) tableOf(devices[i]!, model.layers[i]!.attention.rotation, pass.positions, "passing");
  });
  stretches.forEach((own, i) => {
    const [before, device] = [x, devices[i]!];
    // In place, but where the block lies elsewhere or somebody keeps what he saw.
    if (watch || before.device !== device) x = copyTo(before, device);
    if (x !== before && !watch) before.free();
    extendBlock(blockOf(model, weights, i), x, own);
    if (i < stretches.length - 1) watch?.(x);
  });
  return x;
}

/** Ranges of positions, an array for each that is kept as long as this is. */
function sliceOf(positions: Int32Array): Slice {
  const known = new Map<string, Int32Array>([[`0 ${positions.length}`, positions]]);
  return (from, to) => {
    const key = `${from} ${to}`;
    const found = known.get(key) ?? positions.subarray(from, to);
    known.set(key, found);
    return found;
  };
}

/** Ranges of the rows of x, one after the other: a view where they lie so. */
function rowsOf(x: Tensor, ranges: readonly (readonly [from: number, to: number])[]): Tensor {
  const [first, ...others] = ranges;
  if (!first) return x.rows(0, 0);
  let end = first[1];
  const side = others.every(([from, to]) => {
    const follows = from === end;
    end = to;
    return follows;
  });
  if (side) return x.rows(first[0], end);
  const output = new Tensor(x.device, [ranges.reduce((sum, [from, to]) => sum + to - from, 0), ...x.shape.slice(1)]);
  let at = 0;
  for (const [from, to] of ranges) {
    copy(x.rows(from, to), output.rows(at, at + to - from));
    at += to - from;
  }
  return output;
}

/** A layer with its weights. */
export function blockOf(model: Model, weights: Weights, i: number): Block {
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

/** The devices that weights live on, each once. */
export function devicesOf(weights: Weights): Device[] {
  return [...new Set([...weights.values()].map(({ device }) => device))];
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
