import { Cache } from "../attention/cache.ts";
import { type Parts, paramsOf, shapeOf } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import type { CacheType } from "../tensor/page.ts";
import { Random } from "../tensor/random.ts";
import { type Device, scope, sizeOf, Tensor } from "../tensor/tensor.ts";

/** Random numbers that are drawn once and repeated along a tensor. */
const PERIOD = 2 ** 16;

/** A tensor of small random numbers, for kernels whose time is measured and whose result is not. */
export function noise(device: Device, shape: readonly number[]): Tensor {
  pattern ??= Float32Array.from(new Random(1).normals(PERIOD, 0.1));
  const x = new Tensor(device, shape);
  const flat = x.reshape([x.size]);
  for (let at = 0; at < x.size; at += PERIOD) {
    const end = Math.min(x.size, at + PERIOD);
    flat.rows(at, end).write(pattern.subarray(0, end - at));
  }
  return x;
}

let pattern: Float32Array | undefined;

/** Parameters of a layer. */
export function noiseParams(device: Device, { variant, sizes }: Attention): Parts {
  return Object.fromEntries(
    paramsOf(variant, sizes).map(([name, axes]) => [name, noise(device, shapeOf(axes, sizes))]),
  );
}

/**
 * A cache of so many tokens, in memory of its own: as a layer's of a model those of one layer would share a buffer, and a few of
 * them need not fit one. The caller frees it. Throws DeviceError where memory is full.
 */
export function fillCache(device: Device, attention: Attention, tokens: number, type: CacheType): Cache {
  const cache = new Cache(device, { ...attention }, Number.POSITIVE_INFINITY, type);
  const most = Math.min(tokens, 1024);
  try {
    scope(device, () => {
      const parts = Object.entries(cache.rows).map(
        ([name, { shape }]) => [name, noise(device, [most, ...shape.slice(1)])] as const,
      );
      while (cache.length < tokens) {
        const added = Math.min(most, tokens - cache.length);
        cache.append(Object.fromEntries(parts.map(([name, rows]) => [name, rows.rows(0, added)])), added);
      }
    });
  } catch (error) {
    cache.free();
    throw error;
  }
  return cache;
}

/** Ways to lay tensors of these shapes in turn over a larger one, so that they come from memory and not from a cache. */
export function rotate(arena: Tensor, shapes: readonly (readonly number[])[]): (turn: number) => readonly Tensor[] {
  const flat = arena.reshape([arena.size]);
  const total = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const places = Math.max(1, Math.floor(arena.size / total));
  return (turn) => {
    let at = (turn % places) * total;
    return shapes.map((shape) => {
      const from = at;
      at += sizeOf(shape);
      return flat.rows(from, at).reshape(shape);
    });
  };
}
