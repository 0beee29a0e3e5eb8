import type { View } from "../ops/attend/index.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
import type { Cache } from "./cache.ts";
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

/** How to run a layer: which tokens, which form, over which cache. */
export interface Pass {
  readonly positions: Int32Array;
  /** One of the variant's forms; its first unless given. */
  readonly form?: string | undefined;
  /** Sequences laid one after the other; 1 with a cache. */
  readonly batch?: number | undefined;
  readonly cache?: Cache | undefined;
  /** Cached tokens unfolded at a time, where the form unfolds. */
  readonly piece?: number | undefined;
  /** What earlier passes over this cache have unfolded, where that is kept. */
  readonly unfolded?: Unfolded | undefined;
}

/**
 * Attention of hidden states `[batch t, d]` to `[batch t, d]`: project, remember, attend in one form, project out. Throws
 * ShapeError for a form that there is not at these sizes, DeviceError where a cache finds no room.
 */
export function runAttention(layer: Attention, p: Parts, x: Tensor, pass: Pass): Tensor {
  const { variant, sizes, rotation } = layer;
  const at = { positions: pass.positions, rotation, batch: pass.batch ?? 1 };
  const form = formOf(variant, sizes, pass.form);
  const view: View = {
    scale: layer.scale ?? variant.scale(sizes),
    batch: at.batch,
    window: layer.window,
  };
  checkWindow(layer);
  const { cache } = pass;
  const state = cache?.state;
  const project = () => variant.project(p, x, at, sizes, state);
  // Beside a cache nothing is on a tape: what projections pass through is freed at once.
  const own = cache ? scope(x.device, project) : project();
  const parts = cache ? { ...own, ...cache.append(own as Parts, x.shape[0]!) } : own;
  const { piece, unfolded } = pass;
  const o = runForm(variant, form, { p, parts: parts as Parts, view, z: sizes, at, state, piece, unfolded });
  return variant.output(p, o, at, sizes, parts);
}

/** The form of this name, or the first there is at these sizes. Throws ShapeError listing those, or saying why there is none. */
export function formOf(variant: Variant, z: Sizes, name?: string): Variant["forms"][string] {
  const form = variant.forms[name ?? formNames(variant, z)[0]!];
  const reason = form?.refuses?.(z);
  if (form && !reason) return form;
  const names = formNames(variant, z).join(" or ");
  throw new ShapeError(`${variant.name}: got form "${name}", expected ${names}${reason ? `; ${reason}` : ""}`);
}
