import type { Parts } from "../attention/define.ts";
import { formOf, type Pass, runAttention } from "../attention/layer.ts";
import { PIECE, Unfolded } from "../attention/unfold.ts";
import { add, scaleBy, update } from "../ops/add/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
import { feedForward } from "./feed.ts";
import type { Model } from "./model.ts";

/** A block of a model with its weights: attention and feed-forward, each added to what went in. */
export interface Block {
  readonly layer: Model["layers"][number];
  readonly norms: { readonly attention: Tensor; readonly feed: Tensor };
  readonly attention: Parts;
  readonly feed: Parts;
  /** Of the norms. */
  readonly eps: number;
  /** Factor on either half before it is added. */
  readonly scale: number | undefined;
}

/** Positions cut into about equal parts of at most `most`; themselves where they are no more. */
export function cutPositions(positions: Int32Array, most: number): readonly Int32Array[] {
  const t = positions.length;
  const parts = Math.ceil(t / most);
  if (parts <= 1) return [positions];
  const at = (i: number) => Math.floor((i * t) / parts);
  return Array.from({ length: parts }, (_, i) => positions.subarray(at(i), at(i + 1)));
}

/** A block of hidden states `[batch t, d]`, which stay as they are. Throws as `runAttention`. */
export function runBlock(block: Block, x: Tensor, pass: Pass): Tensor {
  const y = add(x, attendRows(block, x, pass));
  return add(y, feedRows(block, y));
}

/**
 * Which parts of the new tokens go through attention one after the other. All at once, unless it unfolds what is cached and all of
 * that is one piece: keys and values of earlier parts are then kept, so that each token is unfolded once either way.
 */
export function partsFor(
  { attention: { variant, sizes } }: Block["layer"],
  pass: Pass,
  parts: readonly Int32Array[],
): readonly Int32Array[] {
  const { cache, form, positions } = pass;
  const unfolds = parts.length > 1 && formOf(variant, sizes, form).over !== undefined;
  return unfolds && (cache?.length ?? 0) + positions.length <= PIECE ? parts : [positions];
}

/**
 * A block over a cache and in place: x `[t, d]` becomes what comes out. In between rows are several times as wide as they are here,
 * so only a part of them is there at a time. Throws as `runAttention`.
 */
export function extendBlock(block: Block, x: Tensor, pass: Pass, parts: readonly Int32Array[]): void {
  const { layer } = block;
  const { device } = x;
  const own = partsFor(layer, pass, parts);
  scope(device, () => {
    const end = (pass.cache?.length ?? 0) + pass.positions.length;
    const unfolded = own.length > 1 ? new Unfolded(device, layer.attention, end) : undefined;
    eachPart(x, own, (rows, positions) =>
      update(rows, 1, 1, attendRows(block, rows, { ...pass, positions, unfolded })),
    );
  });
  // Experts are shared out by all rows that choose them.
  const together = layer.feed.kind === "dense" ? parts : [pass.positions];
  eachPart(x, together, (rows) => update(rows, 1, 1, feedRows(block, rows)));
}

/** Runs `body` over the rows of x that belong to each part, in a scope of its own. */
function eachPart(x: Tensor, parts: readonly Int32Array[], body: (rows: Tensor, positions: Int32Array) => void): void {
  let from = 0;
  for (const part of parts) {
    const rows = parts.length === 1 ? x : x.rows(from, from + part.length);
    scope(x.device, () => body(rows, part));
    from += part.length;
  }
}

function attendRows({ layer, norms, attention, eps, scale }: Block, x: Tensor, pass: Pass): Tensor {
  return scaleBranch(runAttention(layer.attention, attention, rmsNorm(x, norms.attention, eps), pass), scale);
}

function feedRows({ layer, norms, feed, eps, scale }: Block, x: Tensor): Tensor {
  return scaleBranch(feedForward(layer.feed, feed, rmsNorm(x, norms.feed, eps)), scale);
}

function scaleBranch(y: Tensor, factor: number | undefined): Tensor {
  return factor === undefined ? y : scaleBy(y, factor);
}
