import { update } from "../ops/add/index.ts";
import type { View } from "../ops/attend/index.ts";
import type { Residual } from "../ops/products/index.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { type Batch, eachSequence } from "../ops/sequence.ts";
import { ShapeError } from "../tensor/error.ts";
import { Joined } from "../tensor/joined.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
import { Cache } from "./cache.ts";
import { type Costed, formNames, type Parts, type Sizes, type Variant } from "./define.ts";
import type { Keeping } from "./keeping.ts";
import { runForm, type Unfolded } from "./unfold.ts";

/** One attention of a model: a variant at sizes, its rotation, and a softmax scale where a model sets its own. */
export interface Attention {
  readonly variant: Variant;
  readonly sizes: Sizes;
  readonly rotation: Rotation;
  /** Instead of the variant's own, e.g. with YaRN's factor. */
  readonly scale?: number | undefined;
  readonly window?: number | undefined;
  /** How a plan keeps its cache; a layer that runs keeps an entry of its own for each token, and has none. */
  readonly keeping?: Keeping | undefined;
}

/** Throws ShapeError naming the variant, the axis and the rule that the sizes break. */
export function checkSizes(variant: Costed, z: Sizes): void {
  for (const [axis, size] of Object.entries(z))
    if (axis !== "eps" && axis !== "floor" && typeof size === "number" && !(Number.isSafeInteger(size) && size >= 0))
      throw new ShapeError(`${variant.name}: axis ${axis} got ${size}, expected a whole number, 0 or more`);
  if (z.floor !== undefined && !(z.floor < 0 && Number.isFinite(z.floor)))
    throw new ShapeError(`${variant.name}: floor got ${z.floor}, expected a number below 0; it bounds a log decay`);
  for (const feature of Object.keys(z.with ?? {}))
    if (!variant.features?.some((known) => known === feature))
      throw new ShapeError(
        `${variant.name}: got the feature ${feature}, expected ${variant.features?.join(", ") || "none"}; leave it out`,
      );
  for (const axis of ["d", "h", "v", "e"] as const)
    if (z[axis] === 0) throw new ShapeError(`${variant.name}: axis ${axis} got 0, expected at least 1`);
  if (z.e !== z.n + z.r) throw new ShapeError(`${variant.name}: axis e got ${z.e}, expected n + r = ${z.n + z.r}`);
  for (const [holds, axis, rule] of variant.rules(z))
    if (!holds) throw new ShapeError(`${variant.name}: axis ${axis} got ${z[axis as "d"] ?? 0}, expected that ${rule}`);
}

/** Throws ShapeError where a variant that has no sliding window is given one. */
export function checkWindow({
  variant,
  window,
}: {
  readonly variant: Costed;
  readonly window?: number | undefined;
}): void {
  if (window && variant.window === false)
    throw new ShapeError(`${variant.name}: got a window of ${window}, expected none; leave it out`);
}

/** Sequences whose new rows run in one form, each over its own cache. */
export interface Portion {
  /** Where its tokens stand, of all its sequences one after the other. */
  readonly positions: Int32Array;
  readonly form?: string | undefined;
  /** New rows of each sequence, and its cache. */
  readonly rows: readonly number[];
  readonly caches: readonly Cache[];
}

/** How to run a layer: which tokens, which form, over which cache. */
export interface Pass {
  readonly positions: Int32Array;
  /** One of the variant's forms; its first unless given. */
  readonly form?: string | undefined;
  /** Sequences laid one after the other; 1 with a cache. */
  readonly batch?: number | undefined;
  readonly cache?: Cache | undefined;
  /** Instead of a form and a cache: of which portions the rows are, in their order. */
  readonly portions?: readonly Portion[] | undefined;
  /** Cached tokens unfolded at a time, where the form unfolds. */
  readonly piece?: number | undefined;
  /** What earlier passes over this cache have unfolded, where that is kept. */
  readonly unfolded?: Unfolded | undefined;
}

/**
 * Attention of hidden states `[batch t, d]` to `[batch t, d]`: project, remember, attend in one form, project out. Portions share the
 * projections: each parameter is read once for all rows. Throws ShapeError for a form that there is not at these sizes, DeviceError
 * where a cache finds no room.
 */
export function runAttention(layer: Attention, p: Parts, x: Tensor, pass: Pass): Tensor {
  const { variant, sizes, rotation } = layer;
  checkWindow(layer);
  const portions = portionsOf(pass, x);
  if (portions) return runPortions(layer, p, x, pass, portions, undefined);
  const at = { positions: pass.positions, rotation, batch: pass.batch ?? 1 };
  const form = formOf(variant, sizes, pass.form);
  const parts = variant.project(p, x, at, sizes, undefined);
  const view = viewOf(layer, at.batch);
  const o = runForm(variant, form, { p, parts: parts as Parts, view, z: sizes, at, state: undefined });
  return variant.output(p, o, at, sizes, parts);
}

/** The same over caches, added in place to what a residual holds. */
export function addAttention(layer: Attention, p: Parts, x: Tensor, pass: Pass, residual: Residual): void {
  checkWindow(layer);
  const o = runPortions(layer, p, x, pass, portionsOf(pass, x)!, residual);
  if (o !== residual.into) update(residual.into, 1, residual.by, o);
}

const viewOf = (layer: Attention, batch: Batch): View => ({
  scale: layer.scale ?? layer.variant.scale(layer.sizes),
  batch,
  window: layer.window,
});

/** What of a pass goes over caches, if anything does. */
function portionsOf({ portions, cache, form, positions }: Pass, x: Tensor): readonly Portion[] | undefined {
  return portions ?? (cache && [{ positions, form, rows: [x.shape[0]!], caches: [cache] }]);
}

function runPortions(
  layer: Attention,
  p: Parts,
  x: Tensor,
  pass: Pass,
  portions: readonly Portion[],
  residual: Residual | undefined,
): Tensor {
  const { variant, sizes: z, rotation } = layer;
  const forms = portions.map(({ form }) => formOf(variant, z, form));
  const rows = portions.flatMap((portion) => portion.rows);
  const at = { positions: pass.positions, rotation, batch: rows.length > 1 ? rows : 1 };
  const state = joinParts(portions.flatMap(({ caches }) => caches.map((cache) => cache.state)));
  // Beside a cache nothing is on a tape: what projections pass through is freed at once.
  const own = scope(x.device, () => variant.project(p, x, at, z, state)) as Parts;
  const attendPortion = ({ positions, rows, caches }: Portion, i: number, mine: Parts) => {
    const batch = rows.length > 1 ? rows : 1;
    const running = {
      p,
      parts: { ...mine, ...joinParts(Cache.append(caches, mine, rows)) },
      view: viewOf(layer, batch),
      z,
      at: { positions, rotation, batch },
      state: joinParts(caches.map((cache) => cache.state)),
      piece: pass.piece,
      unfolded: pass.unfolded,
    };
    return runForm(variant, forms[i]!, running);
  };
  const lengths = portions.map(({ positions }) => positions.length);
  const o =
    portions.length === 1
      ? attendPortion(portions[0]!, 0, own)
      : eachSequence(lengths, (of, i) => attendPortion(portions[i]!, i, mapParts(own, of)));
  return variant.output(p, o, at, z, own, residual);
}

const mapParts = (parts: Parts, map: (t: Tensor) => Tensor): Parts =>
  Object.fromEntries(Object.entries(parts).flatMap(([name, t]) => (t ? [[name, map(t)]] : [])));

/** The same parts of several sequences as operands of all. */
function joinParts(each: readonly Parts[]): Parts {
  if (each.length === 1) return each[0]!;
  return Object.fromEntries(Object.keys(each[0]!).map((name) => [name, Joined.of(each.map((parts) => parts[name]!))]));
}

/** The form of this name, or the first there is at these sizes. Throws ShapeError listing those, or saying why there is none. */
export function formOf(variant: Variant, z: Sizes, name?: string): Variant["forms"][string] {
  const form = variant.forms[name ?? formNames(variant, z)[0]!];
  const reason = form?.refuses?.(z);
  if (form && !reason) return form;
  const names = formNames(variant, z).join(" or ");
  throw new ShapeError(`${variant.name}: got form "${name}", expected ${names}${reason ? `; ${reason}` : ""}`);
}
