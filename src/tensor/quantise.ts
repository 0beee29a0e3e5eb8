import { FormatError, ShapeError } from "./error.ts";
import { narrow } from "./narrow.ts";
import { blocks, type Quant } from "./quant.ts";

/** A block format that is written as well as read. */
export type Quantised = Exclude<Quant, keyof typeof narrow>;

export function isQuantised(type: Quant): type is Quantised {
  return !Object.hasOwn(narrow, type);
}

/** Writes the block at byte `at` from the numbers of `x` from index `i` on. */
type Encoder = (x: Float32Array, i: number, view: DataView, at: number) => void;

/**
 * Numbers to whole blocks. The formats of 32 round as ggml's reference does, in float32, so the bytes are the same: the scale
 * comes from the largest number by size, or from the range. Those of 256 take the range of each run as it is, where ggml
 * searches for the scale of least error: same layout, slightly larger error.
 *
 * Errors: ShapeError for a part of a block, FormatError for a number no block can hold; `subject` names the tensor in both.
 */
export function quantise(type: Quantised, values: ArrayLike<number>, subject: string = type): Uint8Array<ArrayBuffer> {
  const { elements, bytes } = blocks[type];
  if (values.length % elements)
    throw new ShapeError(`${subject}: got ${values.length} numbers, expected a multiple of ${elements} for ${type}`);
  const x = values instanceof Float32Array ? values : Float32Array.from(values);
  const out = new Uint8Array((values.length / elements) * bytes);
  const view = new DataView(out.buffer);
  const [encode, limit] = [encoders[type], limits[type]];
  for (let i = 0, at = 0; i < x.length; i += elements, at += bytes) {
    for (let j = i; j < i + elements; j++)
      // Not NaN either.
      if (!(Math.abs(x[j]!) <= limit))
        throw new FormatError(
          `${subject}: element ${j}: got ${values[j]}, expected a number up to ${limit} in size for ${type}`,
        );
    encode(x, i, view, at);
  }
  return out;
}

const HALF = 65_504;

/** The largest number whose block has a scale (and minimum) that half precision can hold. */
const limits: Readonly<Record<Quantised, number>> = {
  Q4_0: 8 * HALF,
  Q4_1: HALF,
  Q5_0: 16 * HALF,
  Q5_1: HALF,
  Q8_0: 127 * HALF,
  Q4_K: 63 * HALF,
  Q5_K: 63 * HALF,
  Q6_K: 128 * 32 * HALF,
};

const { fround } = Math;

const encoders: Readonly<Record<Quantised, Encoder>> = {
  Q4_0(x, i, view, at) {
    const { d, inverse } = signedScale(x, i, 8);
    view.setFloat16(at, d, true);
    const q = (j: number) => Math.min(15, Math.trunc(fround(fround(x[i + j]! * inverse) + 8.5)));
    for (let j = 0; j < 16; j++) view.setUint8(at + 2 + j, q(j) | (q(j + 16) << 4));
  },
  Q4_1(x, i, view, at) {
    const { d, inverse, least } = rangeScale(x, i, 15);
    view.setFloat16(at, d, true);
    view.setFloat16(at + 2, least, true);
    const q = (j: number) => Math.min(15, Math.trunc(fround(fround(fround(x[i + j]! - least) * inverse) + 0.5)));
    for (let j = 0; j < 16; j++) view.setUint8(at + 4 + j, q(j) | (q(j + 16) << 4));
  },
  Q5_0(x, i, view, at) {
    const { d, inverse } = signedScale(x, i, 16);
    view.setFloat16(at, d, true);
    fives(view, at + 2, (j) => Math.min(31, Math.trunc(fround(fround(x[i + j]! * inverse) + 16.5))));
  },
  Q5_1(x, i, view, at) {
    const { d, inverse, least } = rangeScale(x, i, 31);
    view.setFloat16(at, d, true);
    view.setFloat16(at + 2, least, true);
    fives(view, at + 4, (j) => Math.min(31, Math.trunc(fround(fround(fround(x[i + j]! - least) * inverse) + 0.5))));
  },
  Q8_0(x, i, view, at) {
    let most = 0;
    for (let j = i; j < i + 32; j++) most = Math.max(most, Math.abs(x[j]!));
    const d = fround(most / 127);
    const inverse = d ? fround(1 / d) : 0;
    view.setFloat16(at, d, true);
    for (let j = 0; j < 32; j++) view.setInt8(at + 2 + j, roundAway(fround(x[i + j]! * inverse)));
  },
  Q4_K(x, i, view, at) {
    runs(x, i, view, at, 15, (run, j, q) => {
      const place = at + 16 + 32 * (run >> 1) + j;
      view.setUint8(place, view.getUint8(place) | (q << (4 * (run & 1))));
    });
  },
  Q5_K(x, i, view, at) {
    runs(x, i, view, at, 31, (run, j, q) => {
      const place = at + 48 + 32 * (run >> 1) + j;
      view.setUint8(place, view.getUint8(place) | ((q & 15) << (4 * (run & 1))));
      view.setUint8(at + 16 + j, view.getUint8(at + 16 + j) | ((q >> 4) << run));
    });
  },
  Q6_K(x, i, view, at) {
    // The scale of each 16: its largest number becomes -32, the end of the range.
    const scales = Array.from({ length: 16 }, (_, run) => largest(x, i + 16 * run, 16) / -32);
    const top = scales.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    view.setFloat16(at + 208, top / -128, true);
    const d = view.getFloat16(at + 208, true);
    for (let run = 0; run < 16; run++) {
      const s = d ? Math.max(-128, Math.min(127, roundAway(scales[run]! / d))) : 0;
      view.setInt8(at + 192 + run, s);
      const half = run >> 3;
      const part = (run >> 1) & 3;
      for (let j = 0; j < 16; j++) {
        const q = level(x[i + 16 * run + j]!, d * s, -32, 31) + 32;
        const low = at + 64 * half + 32 * (part & 1) + 16 * (run & 1) + j;
        const high = at + 128 + 32 * half + 16 * (run & 1) + j;
        view.setUint8(low, view.getUint8(low) | ((q & 15) << (4 * (part >> 1))));
        view.setUint8(high, view.getUint8(high) | ((q >> 4) << (2 * part)));
      }
    }
  },
};

/** The scale that takes the block's largest number, with its sign, to -levels. */
function signedScale(x: Float32Array, i: number, levels: number): { d: number; inverse: number } {
  const d = fround(largest(x, i, 32) / -levels);
  return { d, inverse: d ? fround(1 / d) : 0 };
}

/** The scale that takes the block's range to [0, levels]. */
function rangeScale(x: Float32Array, i: number, levels: number): { d: number; inverse: number; least: number } {
  const part = x.subarray(i, i + 32);
  const least = part.reduce((a, b) => Math.min(a, b));
  const d = fround(fround(part.reduce((a, b) => Math.max(a, b)) - least) / levels);
  return { d, inverse: d ? fround(1 / d) : 0, least };
}

/** The first of the numbers that are largest in size, with its sign. */
function largest(x: Float32Array, i: number, count: number): number {
  let found = 0;
  for (let j = i; j < i + count; j++) if (Math.abs(x[j]!) > Math.abs(found)) found = x[j]!;
  return found;
}

/** 32 fifth bits, then 16 bytes of nibbles. */
function fives(view: DataView, at: number, q: (j: number) => number): void {
  let fifth = 0;
  for (let j = 0; j < 32; j++) fifth |= (q(j) >> 4) << j;
  view.setUint32(at, fifth >>> 0, true);
  for (let j = 0; j < 16; j++) view.setUint8(at + 4 + j, (q(j) & 15) | ((q(j + 16) & 15) << 4));
}

/** The head of Q4_K and Q5_K, and each number's level in [0, levels]: x ~ d s q - dmin m with s and m for every 32. */
function runs(
  x: Float32Array,
  i: number,
  view: DataView,
  at: number,
  levels: number,
  put: (run: number, j: number, q: number) => void,
): void {
  const ranges = Array.from({ length: 8 }, (_, run) => {
    const part = x.subarray(i + 32 * run, i + 32 * run + 32);
    // A minimum is stored negated and without sign: it cannot lie above zero.
    const least = part.reduce((a, b) => Math.min(a, b), 0);
    return { least, scale: (part.reduce((a, b) => Math.max(a, b)) - least) / levels };
  });
  view.setFloat16(at, Math.max(0, ...ranges.map(({ scale }) => scale)) / 63, true);
  view.setFloat16(at + 2, Math.max(...ranges.map(({ least }) => -least)) / 63, true);
  const d = view.getFloat16(at, true);
  const dmin = view.getFloat16(at + 2, true);
  for (const [run, { least, scale }] of ranges.entries()) {
    const s = level(scale, d, 0, 63);
    const m = level(-least, dmin, 0, 63);
    putPair(view, at + 4, run, s, m);
    for (let j = 0; j < 32; j++) put(run, j, level(x[i + 32 * run + j]! + dmin * m, d * s, 0, levels));
  }
}

/** As `pairOf` in quant.ts reads it. The bytes are zero before. */
function putPair(view: DataView, at: number, r: number, s: number, m: number): void {
  const or = (place: number, bits: number) => view.setUint8(at + place, view.getUint8(at + place) | bits);
  if (r < 4) {
    or(r, s);
    or(r + 4, m);
    return;
  }
  or(r + 4, (s & 15) | ((m & 15) << 4));
  or(r - 4, (s >> 4) << 6);
  or(r, (m >> 4) << 6);
}

/** The whole number nearest to x / scale within bounds; zero where there is no scale. */
function level(x: number, scale: number, least: number, most: number): number {
  return scale ? Math.max(least, Math.min(most, Math.round(x / scale))) : 0;
}

/** To the nearest whole number, halves away from zero, as C's roundf. */
function roundAway(x: number): number {
  return Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
}
