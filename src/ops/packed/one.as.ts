// One row of activations times TOGETHER panels of a packed weight where any bytes are multiplied: each activation is loaded once for
// all of them, and memory is read at several places at once, which is faster than one after the other (LOG.md). Sums are those of `dot`,
// bit for bit.
import { Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { madd } from "../simd.as";
import { rounding } from "./quantise.as";
import { halfBias, halfMask, nibbleMask, quickHalves, signMask } from "./half.as";
import { unsigned4 } from "./spread.as";

/** Puts four sums of each panel to `to`, one panel's behind another's. They lie `second`, `third`, `fourth` bytes behind the first. */
export function dotJoined(
  format: i32, panel: usize, second: usize, third: usize, fourth: usize, width: i32, x: usize, to: usize,
): void {
  memory.fill(to, 0, 64);
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  if (format == Q8_0) blocks(Q8_0, 16, 272, panel, second, third, fourth, width, x, to);
  else if (format == Q4_0) blocks(Q4_0, 16, 144, panel, second, third, fourth, width, x, to);
  else if (format == Q4_1) blocks(Q4_1, 32, 160, panel, second, third, fourth, width, x, to);
  else runs(panel, second, third, fourth, width, x, to);
}

/** `head`: bytes of the scales (and minima) of two blocks; `pair`: of both blocks. */
// @ts-ignore: decorator
@inline
function blocks(
  format: i32, head: usize, pair: usize, panel: usize, second: usize, third: usize, fourth: usize, width: i32, x: usize, to: usize,
): void {
  let record = x + <usize>width, w = panel;
  const bytes = (pair - head) >> 1, magic = rounding(), mask = format == Q8_0 ? signMask() : nibbleMask();
  const half = halfMask(), bias = halfBias();
  for (let left = width; left > 0; left -= 32, x += 32, record += 16) {
    const odd = <usize>((width - left) >> 5 & 1);
    const start = v128.load32_splat(record, 8);
    let a0 = start, a1 = start, a2 = start, a3 = start, y = x, at = w + head + odd * bytes;
    for (const end = at + bytes; at < end; at += 16, y += 4) {
      const p0 = v128.load(at), p1 = v128.load(at + second), p2 = v128.load(at + third), p3 = v128.load(at + fourth);
      const e = v128.load32_splat(y);
      a0 = add(e, former(format, p0, mask), a0);
      a1 = add(e, former(format, p1, mask), a1);
      a2 = add(e, former(format, p2, mask), a2);
      a3 = add(e, former(format, p3, mask), a3);
      if (format != Q8_0) {
        const o = v128.load32_splat(y, 16);
        a0 = add(o, latter(p0, mask), a0);
        a1 = add(o, latter(p1, mask), a1);
        a2 = add(o, latter(p2, mask), a2);
        a3 = add(o, latter(p3, mask), a3);
      }
    }
    // All that is read stands before what is written: V8 joins no two readings with a store between them.
    const scales = w + (odd << 3), least = scales + 16, all = v128.load32_splat(record, 12), by = v128.load32_splat(record);
    const s0 = quickHalves(scales, half, bias), s1 = quickHalves(scales + second, half, bias);
    const s2 = quickHalves(scales + third, half, bias), s3 = quickHalves(scales + fourth, half, bias);
    let f0 = v128.load(to), f1 = v128.load(to, 16), f2 = v128.load(to, 32), f3 = v128.load(to, 48);
    if (format == Q4_1) {
      f0 = madd(all, quickHalves(least, half, bias), f0), f1 = madd(all, quickHalves(least + second, half, bias), f1);
      f2 = madd(all, quickHalves(least + third, half, bias), f2), f3 = madd(all, quickHalves(least + fourth, half, bias), f3);
    }
    f0 = madd(f32x4.mul(f32x4.sub(a0, magic), by), s0, f0), f1 = madd(f32x4.mul(f32x4.sub(a1, magic), by), s1, f1);
    f2 = madd(f32x4.mul(f32x4.sub(a2, magic), by), s2, f2), f3 = madd(f32x4.mul(f32x4.sub(a3, magic), by), s3, f3);
    v128.store(to, f1, 16);
    v128.store(to, f0);
    v128.store(to, f3, 48);
    v128.store(to, f2, 32);
    if (odd) w += pair;
  }
}

/** Q4_K: sums of a super-block lie behind `to`, and behind these those over minima. */
function runs(
  panel: usize, second: usize, third: usize, fourth: usize, width: i32, x: usize, to: usize,
): void {
  const magic = rounding(), mask = nibbleMask(), half = halfMask(), bias = halfBias();
  let record = x + <usize>width, w = panel;
  for (; width > 0; width -= 256, w += 592) {
    memory.fill(to + 64, 0, 128);
    let pairs = w + 16;
    for (let from = w + 80; from < w + 592; from += 128, pairs += 16, x += 64, record += 32) {
      const start = v128.load32_splat(record, 8);
      let a0 = start, a1 = start, a2 = start, a3 = start, b0 = start, b1 = start, b2 = start, b3 = start;
      for (let at = from, end = from + 128, y = x; at < end; at += 16, y += 4) {
        const p0 = v128.load(at), p1 = v128.load(at + second), p2 = v128.load(at + third), p3 = v128.load(at + fourth);
        const e = v128.load32_splat(y), o = v128.load32_splat(y, 32);
        a0 = add(e, former(Q4_K, p0, mask), a0);
        a1 = add(e, former(Q4_K, p1, mask), a1);
        a2 = add(e, former(Q4_K, p2, mask), a2);
        a3 = add(e, former(Q4_K, p3, mask), a3);
        b0 = add(o, latter(p0, mask), b0);
        b1 = add(o, latter(p1, mask), b1);
        b2 = add(o, latter(p2, mask), b2);
        b3 = add(o, latter(p3, mask), b3);
      }
      run(to + 64, pairs, pairs + second, pairs + third, pairs + fourth, record, magic, a0, a1, a2, a3);
      run(to + 64, pairs + 8, pairs + second + 8, pairs + third + 8, pairs + fourth + 8, record + 16, magic, b0, b1, b2, b3);
    }
    const d0 = quickHalves(w, half, bias), d1 = quickHalves(w + second, half, bias);
    const d2 = quickHalves(w + third, half, bias), d3 = quickHalves(w + fourth, half, bias);
    const m0 = quickHalves(w + 8, half, bias), m1 = quickHalves(w + second + 8, half, bias);
    const m2 = quickHalves(w + third + 8, half, bias), m3 = quickHalves(w + fourth + 8, half, bias);
    const f0 = outer(to, d0, m0), f1 = outer(to + 16, d1, m1), f2 = outer(to + 32, d2, m2), f3 = outer(to + 48, d3, m3);
    v128.store(to, f1, 16);
    v128.store(to, f0);
    v128.store(to, f3, 48);
    v128.store(to, f2, 32);
  }
}

/** Adds a block's sums, scaled, to those of its super-block at `to`, and its minima times the sum of its activations. */
// @ts-ignore: decorator
@inline
function run(
  to: usize, p0: usize, p1: usize, p2: usize, p3: usize, record: usize, magic: v128, s0: v128, s1: v128, s2: v128, s3: v128,
): void {
  const by = v128.load32_splat(record), all = v128.load32_splat(record, 12);
  const c0 = unsigned4(p0), c1 = unsigned4(p1), c2 = unsigned4(p2), c3 = unsigned4(p3);
  const l0 = unsigned4(p0 + 4), l1 = unsigned4(p1 + 4), l2 = unsigned4(p2 + 4), l3 = unsigned4(p3 + 4);
  const f0 = madd(f32x4.mul(f32x4.sub(s0, magic), by), c0, v128.load(to));
  const f1 = madd(f32x4.mul(f32x4.sub(s1, magic), by), c1, v128.load(to, 16));
  const f2 = madd(f32x4.mul(f32x4.sub(s2, magic), by), c2, v128.load(to, 32));
  const f3 = madd(f32x4.mul(f32x4.sub(s3, magic), by), c3, v128.load(to, 48));
  const g0 = madd(all, l0, v128.load(to, 64)), g1 = madd(all, l1, v128.load(to, 80));
  const g2 = madd(all, l2, v128.load(to, 96)), g3 = madd(all, l3, v128.load(to, 112));
  v128.store(to, f1, 16);
  v128.store(to, f0);
  v128.store(to, f3, 48);
  v128.store(to, f2, 32);
  v128.store(to, g1, 80);
  v128.store(to, g0, 64);
  v128.store(to, g3, 112);
  v128.store(to, g2, 96);
}

/** The sum at `to` with a super-block's. */
// @ts-ignore: decorator
@inline
function outer(to: usize, scale: v128, least: v128): v128 {
  return f32x4.sub(madd(v128.load(to, 64), scale, v128.load(to)), f32x4.mul(v128.load(to, 128), least));
}

/** What is multiplied of four columns' bytes (Q8_0), or of their low nibbles; and of their high ones. */
// @ts-ignore: decorator
@inline
function former(format: i32, p: v128, mask: v128): v128 {
  return format == Q8_0 ? v128.xor(p, mask) : v128.and(p, mask);
}

// @ts-ignore: decorator
@inline
function latter(p: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(p, 4), mask);
}

// @ts-ignore: decorator
@inline
function add(x: v128, w: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum);
}
