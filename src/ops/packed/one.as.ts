// One row of activations times a panel of a packed weight where the machine adds products of four bytes to a sum in one instruction.
// Panels follow each other in memory and are read from front to back, one after the other: of four that were read side by side a
// processor may fetch none ahead (LOG.md). V8 joins vectors that are stored side by side, the upper first, and two whose elements are
// spread by the same shuffle: so sums pass through memory, and of eight words of activations the even ones lie before the odd ones.
// One function for each format, or Binaryen makes a loop of all that asks for it. Whole numbers are exact: sums are the bits of `dot`.
import { Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { madd } from "../simd.as";
import { rounding } from "./quantise.as";
import { halfBias, halfMask, nibbleMask, quickHalves, signMask } from "./half.as";
import { unsigned4 } from "./spread.as";

/** The sums of four rows. */
export function dotWhole(format: i32, panel: usize, width: i32, x: usize, sums: usize): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return f32x4.splat(0);
  if (format == Q8_0) return dotBytes(panel, width, x, sums);
  if (format == Q4_0) return dotNibbles(panel, width, x, sums);
  if (format == Q4_1) return dotRaised(panel, width, x, sums);
  return runs(panel, width, x, sums);
}

function dotBytes(q: usize, width: i32, x: usize, sums: usize): v128 {
  return blocks(Q8_0, 16, 128, q, width, x, sums);
}

function dotNibbles(q: usize, width: i32, x: usize, sums: usize): v128 {
  return blocks(Q4_0, 16, 64, q, width, x, sums);
}

function dotRaised(q: usize, width: i32, x: usize, sums: usize): v128 {
  return blocks(Q4_1, 32, 64, q, width, x, sums);
}

/** `head`: bytes of the scales (and minima) of two blocks; `bytes`: of the numbers of one. */
// @ts-ignore: decorator
@inline
function blocks(format: i32, head: usize, bytes: usize, q: usize, width: i32, x: usize, sums: usize): v128 {
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, x += 64, record += 32, q += head + 2 * bytes) {
    blockSums(format, q + head, x, record, sums);
    blockSums(format, q + head + bytes, x + 32, record + 16, sums + 32);
    sum = scaled(format, q, record, sums, sum);
    sum = scaled(format, q + 8, record + 16, sums + 32, sum);
  }
  if (width == 0) return sum;
  blockSums(format, q + head, x, record, sums);
  return scaled(format, q, record, sums, sum);
}

/** Whole-number sums of a block, above `rounding()`: of words at even places, then of those at odd ones. */
// @ts-ignore: decorator
@inline
function blockSums(format: i32, q: usize, x: usize, record: usize, to: usize): void {
  const e = v128.load(x), o = v128.load(x, 16);
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48);
  let a = i32x4.splat(0), b = a;
  if (format == Q8_0) {
    const mask = signMask();
    const p4 = v128.load(q, 64), p5 = v128.load(q, 80), p6 = v128.load(q, 96), p7 = v128.load(q, 112);
    a = add(v128.shuffle<i32>(e, e, 0, 0, 0, 0), v128.xor(p0, mask), a), b = add(v128.shuffle<i32>(o, o, 0, 0, 0, 0), v128.xor(p1, mask), b);
    a = add(v128.shuffle<i32>(e, e, 1, 1, 1, 1), v128.xor(p2, mask), a), b = add(v128.shuffle<i32>(o, o, 1, 1, 1, 1), v128.xor(p3, mask), b);
    a = add(v128.shuffle<i32>(e, e, 2, 2, 2, 2), v128.xor(p4, mask), a), b = add(v128.shuffle<i32>(o, o, 2, 2, 2, 2), v128.xor(p5, mask), b);
    a = add(v128.shuffle<i32>(e, e, 3, 3, 3, 3), v128.xor(p6, mask), a), b = add(v128.shuffle<i32>(o, o, 3, 3, 3, 3), v128.xor(p7, mask), b);
  } else {
    const mask = nibbleMask();
    a = add(v128.shuffle<i32>(e, e, 0, 0, 0, 0), v128.and(p0, mask), a), b = add(v128.shuffle<i32>(o, o, 0, 0, 0, 0), v128.and(p1, mask), b);
    a = add(v128.shuffle<i32>(e, e, 1, 1, 1, 1), v128.and(p2, mask), a), b = add(v128.shuffle<i32>(o, o, 1, 1, 1, 1), v128.and(p3, mask), b);
    a = add(v128.shuffle<i32>(e, e, 2, 2, 2, 2), upper(p0, mask), a), b = add(v128.shuffle<i32>(o, o, 2, 2, 2, 2), upper(p1, mask), b);
    a = add(v128.shuffle<i32>(e, e, 3, 3, 3, 3), upper(p2, mask), a), b = add(v128.shuffle<i32>(o, o, 3, 3, 3, 3), upper(p3, mask), b);
  }
  v128.store(to, b, 16);
  v128.store(to, a);
}

/** `sum` and a block's sums, scaled; of Q4_1 before that its minima, which lie 16 bytes behind the scales. */
// @ts-ignore: decorator
@inline
function scaled(format: i32, q: usize, record: usize, sums: usize, sum: v128): v128 {
  const mask = halfMask(), bias = halfBias(), s = i32x4.add(i32x4.add(v128.load(sums), v128.load(sums, 16)), v128.load32_splat(record, 8));
  if (format == Q4_1) sum = madd(v128.load32_splat(record, 12), quickHalves(q + 16, mask, bias), sum);
  return madd(f32x4.mul(f32x4.sub(s, rounding()), v128.load32_splat(record)), quickHalves(q, mask, bias), sum);
}

/** Q4_K: 256 columns at a time, whose runs of 32 have scales and minima of their own. */
function runs(q: usize, width: i32, x: usize, sums: usize): v128 {
  const magic = rounding(), mask = halfMask(), bias = halfBias();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 592) {
    let f = f32x4.splat(0), g = f, scales = q + 16;
    for (let at = q + 80; at < q + 592; at += 128, x += 64, scales += 16, record += 32) {
      runSums(at, x, record, sums);
      const s = i32x4.add(i32x4.add(v128.load(sums), v128.load(sums, 16)), v128.load32_splat(record, 8)), t = i32x4.add(i32x4.add(v128.load(sums, 32), v128.load(sums, 48)), v128.load32_splat(record, 24));
      f = madd(f32x4.mul(f32x4.sub(s, magic), v128.load32_splat(record)), unsigned4(scales), f);
      g = madd(v128.load32_splat(record, 12), unsigned4(scales + 4), g);
      f = madd(f32x4.mul(f32x4.sub(t, magic), v128.load32_splat(record, 16)), unsigned4(scales + 8), f);
      g = madd(v128.load32_splat(record, 28), unsigned4(scales + 12), g);
    }
    sum = madd(f, quickHalves(q, mask, bias), sum);
    sum = f32x4.sub(sum, f32x4.mul(g, quickHalves(q + 8, mask, bias)));
  }
  return sum;
}

/** Sums of two runs of 32, whose nibbles share bytes: first of the low ones, then of the high ones. */
// @ts-ignore: decorator
@inline
function runSums(q: usize, x: usize, record: usize, to: usize): void {
  const mask = nibbleMask();
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48);
  const p4 = v128.load(q, 64), p5 = v128.load(q, 80), p6 = v128.load(q, 96), p7 = v128.load(q, 112);
  const e = v128.load(x), o = v128.load(x, 16), m = v128.load(x, 32), n = v128.load(x, 48);
  let a = i32x4.splat(0), b = a, c = a, d = a;
  a = add(v128.shuffle<i32>(e, e, 0, 0, 0, 0), v128.and(p0, mask), a), b = add(v128.shuffle<i32>(o, o, 0, 0, 0, 0), v128.and(p1, mask), b);
  a = add(v128.shuffle<i32>(e, e, 1, 1, 1, 1), v128.and(p2, mask), a), b = add(v128.shuffle<i32>(o, o, 1, 1, 1, 1), v128.and(p3, mask), b);
  a = add(v128.shuffle<i32>(e, e, 2, 2, 2, 2), v128.and(p4, mask), a), b = add(v128.shuffle<i32>(o, o, 2, 2, 2, 2), v128.and(p5, mask), b);
  a = add(v128.shuffle<i32>(e, e, 3, 3, 3, 3), v128.and(p6, mask), a), b = add(v128.shuffle<i32>(o, o, 3, 3, 3, 3), v128.and(p7, mask), b);
  c = add(v128.shuffle<i32>(m, m, 0, 0, 0, 0), upper(p0, mask), c), d = add(v128.shuffle<i32>(n, n, 0, 0, 0, 0), upper(p1, mask), d);
  c = add(v128.shuffle<i32>(m, m, 1, 1, 1, 1), upper(p2, mask), c), d = add(v128.shuffle<i32>(n, n, 1, 1, 1, 1), upper(p3, mask), d);
  c = add(v128.shuffle<i32>(m, m, 2, 2, 2, 2), upper(p4, mask), c), d = add(v128.shuffle<i32>(n, n, 2, 2, 2, 2), upper(p5, mask), d);
  c = add(v128.shuffle<i32>(m, m, 3, 3, 3, 3), upper(p6, mask), c), d = add(v128.shuffle<i32>(n, n, 3, 3, 3, 3), upper(p7, mask), d);
  v128.store(to, b, 16);
  v128.store(to, a);
  v128.store(to, d, 48);
  v128.store(to, c, 32);
}

// @ts-ignore: decorator
@inline
function upper(p: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(p, 4), mask);
}

// @ts-ignore: decorator
@inline
function add(x: v128, w: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum);
}
