import type { Parts } from "../attention/define.ts";
import { addAttention, formOf, type Pass, type Portion, runAttention } from "../attention/layer.ts";
import { PIECE, Unfolded } from "../attention/unfold.ts";
import { add, scaleBy } from "../ops/add/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { Normed } from "../ops/norm/normed.ts";
import { type Device, scope, type Tensor } from "../tensor/tensor.ts";
import { addFeed, feedForward, rowsAtOnce } from "./feed.ts";
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

/** Rows `from` to `to` of those that a step brings. */
type Range = readonly [from: number, to: number];

/** Rows cut into about equal ranges of at most `most`. */
export function cutRows(rows: number, most: number): readonly Range[] {
  if (rows <= most) return [[0, rows]];
  const ranges = Math.ceil(rows / most);
  const at = (i: number) => Math.floor((i * rows) / ranges);
  return Array.from({ length: ranges }, (_, i) => [at(i), at(i + 1)]);
}

/** A block of hidden states `[batch t, d]`, which stay as they are. Throws as `runAttention`. */
export function runBlock(block: Block, x: Tensor, pass: Pass): Tensor {
  const y = add(x, attendRows(block, x, pass));
  return add(y, feedRows(block, y));
}

/** Positions of a range of rows, the same array whenever it is asked for: layers that cut alike share tables of angles. */
export type Slice = (from: number, to: number) => Int32Array;

/** Passes of one range of rows each, in their order. Where there are several, what one has unfolded is kept for the next. */
export type Stretch = readonly Pass[];

/**
 * How the new rows of a step go through attention: all portions at once, but for a long one that unfolds what is cached and all of
 * that is one piece. It goes in parts of at most `most` rows, and keys and values of earlier parts are kept, so that each token is
 * unfolded once either way.
 */
export function stretchesFor(
  { attention }: Block["layer"],
  portions: readonly Portion[],
  slice: Slice,
  most: number,
): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let open: Portion[] = [];
  let [from, at] = [0, 0];
  const close = (to: number) => {
    if (open.length) stretches.push([{ positions: slice(from, to), portions: open }]);
    open = [];
    from = at;
  };
  for (const portion of portions) {
    const start = at;
    at += portion.positions.length;
    const ranges = cutRows(at - start, most);
    if (ranges.length === 1 || !unfoldsAtOnce(attention, portion)) {
      open.push(portion);
      continue;
    }
    close(start);
    stretches.push(
      ranges.map(([first, last]) => {
        const positions = slice(start + first, start + last);
        return { positions, portions: [{ ...portion, positions, rows: [last - first] }] };
      }),
    );
  }
  close(at);
  return stretches;
}

/** Whether a portion is of one sequence and unfolds all of its cache as one piece. */
function unfoldsAtOnce({ variant, sizes }: Block["layer"]["attention"], { caches, form, positions }: Portion): boolean {
  if (caches.length > 1 || !formOf(variant, sizes, form).over) return false;
  return caches[0]!.length + positions.length <= PIECE;
}

/**
 * A block over caches and in place: x `[t, d]` becomes what comes out. In between rows are several times as wide as they are here,
 * so only some of them are there at a time. Throws as `runAttention`.
 */
export function extendBlock(block: Block, x: Tensor, stretches: readonly Stretch[]): void {
  const { device } = x;
  let from = 0;
  for (const stretch of stretches)
    scope(device, () => {
      const unfolded = stretch.length > 1 ? unfoldedFor(block, device, stretch) : undefined;
      for (const pass of stretch) {
        const to = from + pass.positions.length;
        eachRows(x, [[from, to]], (rows) => {
          const { layer, attention, norms, eps, scale } = block;
          const normed = Normed.of(rows, norms.attention, eps);
          addAttention(layer.attention, attention, normed, { ...pass, unfolded }, { into: rows, by: scale ?? 1 });
        });
        from = to;
      }
    });
  // Experts are shared out by all rows that choose them.
  const rows = x.shape[0]!;
  const { layer, feed, norms, eps, scale } = block;
  eachRows(x, layer.feed.kind === "dense" ? cutRows(rows, rowsAtOnce(feed.wGate!)) : [[0, rows]], (some) =>
    addFeed(layer.feed, feed, Normed.of(some, norms.feed, eps), { into: some, by: scale ?? 1 }),
  );
}

/** Room for what the passes of a stretch unfold, over one cache. */
function unfoldedFor({ layer }: Block, device: Device, stretch: Stretch): Unfolded {
  const added = stretch.reduce((sum, { positions }) => sum + positions.length, 0);
  return new Unfolded(device, layer.attention, stretch[0]!.portions![0]!.caches[0]!.length + added);
}

/** Runs `body` over each range of the rows of x, in a scope of its own. */
function eachRows(x: Tensor, ranges: readonly Range[], body: (rows: Tensor) => void): void {
  for (const [from, to] of ranges) scope(x.device, () => body(from === 0 && to === x.shape[0] ? x : x.rows(from, to)));
}

/** What attention adds to hidden states. */
export function attendRows({ layer, norms, attention, eps, scale }: Block, x: Tensor, pass: Pass): Tensor {
  return scaleBranch(runAttention(layer.attention, attention, rmsNorm(x, norms.attention, eps), pass), scale);
}

/** What the feed-forward half adds to them. */
export function feedRows({ layer, norms, feed, eps, scale }: Block, x: Tensor): Tensor {
  return scaleBranch(feedForward(layer.feed, feed, rmsNorm(x, norms.feed, eps)), scale);
}

function scaleBranch(y: Tensor, factor: number | undefined): Tensor {
  return factor === undefined ? y : scaleBy(y, factor);
}
