import { Cache, type Strip } from "../attention/cache.ts";
import { type Parts, paramsOf, shapeOf } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import type { CacheType } from "../tensor/page.ts";
import { Random } from "../tensor/random.ts";
import { type Device, sizeOf, Tensor } from "../tensor/tensor.ts";

/** Random numbers that are drawn once and repeated along a tensor. */
const PERIOD = 2 ** 16;

/** A tensor of small random numbers, for kernels whose time is measured and whose result is not. */
export function noise(device: Device, shape: readonly number[]): Tensor {
  const numbers = numbersOfNoise();
  const x = new Tensor(device, shape);
  const flat = x.reshape([x.size]);
  for (let at = 0; at < x.size; at += PERIOD) {
    const end = Math.min(x.size, at + PERIOD);
    flat.rows(at, end).write(numbers.subarray(0, end - at));
  }
  return x;
}

let pattern: Float32Array<ArrayBuffer> | undefined;
function numbersOfNoise(): Float32Array<ArrayBuffer> {
  pattern ??= Float32Array.from(new Random(1).normals(PERIOD, 0.1));
  return pattern;
}

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
  try {
    // As bytes: appending rounds and orders what is put in, which on a GPU takes shaders and on a software one minutes.
    cache.restore(tokens);
    for (const strip of cache.strips) cache.fill(strip, repeated(strip, tokens));
  } catch (error) {
    cache.free();
    throw error;
  }
  return cache;
}

/** A scale under which bytes are small numbers. */
const SCALE = 0.001;

/** Small random numbers in the type of a cache's strip, for all tokens. */
function repeated({ name, bytes, dtype }: Strip, tokens: number): Uint8Array {
  const numbers = numbersOfNoise();
  const typed = {
    F64: () => Float64Array.from(numbers),
    F32: () => (name.endsWith(".scale") ? new Float32Array(numbers.length).fill(SCALE) : numbers),
    // The upper halves.
    BF16: () => Uint16Array.from(new Uint32Array(numbers.buffer), (bits) => bits >>> 16),
    I8: () => Int8Array.from(numbers, (x) => x / SCALE),
  }[dtype]();
  const once = new Uint8Array(typed.buffer);
  const all = new Uint8Array(bytes * tokens);
  for (let at = 0; at < all.length; at += once.length) all.set(once.subarray(0, all.length - at), at);
  return all;
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
