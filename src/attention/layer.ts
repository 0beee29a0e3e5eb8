import { combine } from "../ops/add/index.ts";
import type { View } from "../ops/attend/index.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { type Device, Tensor } from "../tensor/tensor.ts";
import {
  cacheOf,
  cacheValues,
  formNames,
  type Parts,
  type Sizes,
  shapeOf,
  stateValues,
  type Variant,
} from "./define.ts";
import { runForm } from "./unfold.ts";

/** One attention of a model: a variant at sizes, its rotation, and a softmax scale where a model sets its own. */
export interface Attention {
  readonly variant: Variant;
  readonly sizes: Sizes;
  readonly rotation: Rotation;
  /** Instead of the variant's own, e.g. with YaRN's factor. */
  readonly scale?: number;
  readonly window?: number;
}

/** Throws ShapeError naming the variant, the axis and the rule that the sizes break. */
export function checkSizes(variant: Variant, z: Sizes): void {
  for (const [axis, size] of Object.entries(z))
    if (axis !== "eps" && typeof size === "number" && !(Number.isSafeInteger(size) && size >= 0))
      throw new ShapeError(`${variant.name}: axis ${axis} got ${size}, expected a whole number, 0 or more`);
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
export function checkWindow({ variant, window }: Pick<Attention, "variant" | "window">): void {
  if (window && variant.window === false)
    throw new ShapeError(`${variant.name}: got a window of ${window}, expected none; leave it out`);
}

/** What one layer keeps of one sequence: rows per token, and for linear variants a state of fixed size. */
export class Cache {
  readonly rows: Parts;
  /** Zeros for a sequence that has not begun; empty for variants without one. */
  readonly state: Parts;
  readonly capacity: number;
  length = 0;

  constructor(device: Device, { variant, sizes }: Pick<Attention, "variant" | "sizes">, capacity: number) {
    this.capacity = capacity;
    this.rows = Object.fromEntries(
      cacheOf(variant, sizes).map(([name, axes]) => [name, new Tensor(device, [capacity, ...shapeOf(axes, sizes)])]),
    );
    this.state = Object.fromEntries(
      Object.entries(variant.state?.(sizes) ?? {}).map(([name, axes]) => {
        const t = new Tensor(device, shapeOf(axes, sizes));
        return [name, t.write(new Float64Array(t.size))];
      }),
    );
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return [...Object.values(this.rows), ...Object.values(this.state)].reduce(
      (sum, t) => sum + t.size * t.device.elementBytes,
      0,
    );
  }

  /** Appends the parts of `added` new tokens and gives all parts so far, as views. A state alone has no capacity to fill. */
  append(parts: Parts, added: number): Parts {
    const all: Record<string, Tensor> = {};
    const end = this.length + added;
    for (const [name, buffer] of Object.entries(this.rows)) {
      if (end > this.capacity)
        throw new ShapeError(
          `cache: got ${end} tokens, expected at most its capacity ${this.capacity}; make it larger`,
        );
      combine(1, parts[name]!, 0, undefined, buffer.rows(this.length, end));
      all[name] = buffer.rows(0, end);
    }
    this.length = end;
    return all;
  }

  free(): void {
    for (const t of [...Object.values(this.rows), ...Object.values(this.state)]) t.free();
  }
}

/** Bytes that `tokens` cached tokens of one layer take by the variant's declaration. */
export function declaredBytes({ variant, sizes }: Attention, tokens: number, elementBytes: number): number {
  return (cacheValues(variant, sizes) * tokens + stateValues(variant, sizes)) * elementBytes;
}

/** How to run a layer: which tokens, which form, over which cache. */
export interface Pass {
  readonly positions: Int32Array;
  /** One of the variant's forms; its first unless given. */
  readonly form?: string;
  /** Sequences laid one after the other; 1 with a cache. */
  readonly batch?: number;
  readonly cache?: Cache;
  /** Cached tokens unfolded at a time, where the form unfolds. */
  readonly piece?: number;
}

/** Attention of hidden states `[batch t, d]` to `[batch t, d]`: project, remember, attend in one form, project out. */
export function runAttention(layer: Attention, p: Parts, x: Tensor, pass: Pass): Tensor {
  const { variant, sizes, rotation } = layer;
  const at = { positions: pass.positions, rotation, batch: pass.batch ?? 1 };
  const form = formOf(variant, sizes, pass.form);
  const view: View = {
    scale: layer.scale ?? variant.scale(sizes),
    batch: at.batch,
    ...(layer.window ? { window: layer.window } : {}),
  };
  checkWindow(layer);
  const state = pass.cache?.state;
  const own = variant.project(p, x, at, sizes, state);
  const parts = pass.cache ? { ...own, ...pass.cache.append(own as Parts, x.shape[0]!) } : own;
  const o = runForm(variant, form, { p, parts: parts as Parts, view, z: sizes, at, state, piece: pass.piece });
  return variant.output(p, o, at, sizes, parts);
}

/** The form of this name, or the first there is at these sizes. Throws ShapeError listing those, or saying why there is none. */
export function formOf(variant: Variant, z: Sizes, name?: string): Variant["forms"][string] {
  const names = formNames(variant, z);
  const form = variant.forms[name ?? names[0]!];
  if (!form) throw new ShapeError(`${variant.name}: got form "${name}", expected one of ${names.join(", ")}`);
  const reason = form.refuses?.(z);
  if (reason) throw new ShapeError(`${variant.name}: got form "${name}", expected ${names.join(" or ")}; ${reason}`);
  return form;
}
