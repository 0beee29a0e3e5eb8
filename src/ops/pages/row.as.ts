// Numbers of a cache in each of its types: what is kept of a float32 and what comes back.
import { ALIGN } from "../../device/layout";
import { BF16, PAGE, Q8 } from "../../tensor/pagination";
import { loadPart } from "../simd.as";

/** Address of the page that holds row `row`, by a table of page numbers. */
// @ts-ignore: decorator
@inline
export function pageOf(table: usize, row: i32): usize {
  return <usize>load<u32>(table + (<usize>(row / PAGE) << 2)) * ALIGN;
}

/** Bytes of `n` numbers, without scales. */
// @ts-ignore: decorator
@inline
export function bytesOf(type: i32, n: i32): usize {
  return type == Q8 ? <usize>n : type == BF16 ? <usize>n << 1 : <usize>n << 2;
}

/** `n` numbers at `from` as float32; `scale` points at theirs where the type has one. */
export function expand(type: i32, from: usize, scale: usize, n: i32, to: usize): void {
  if (type == Q8) expandQ8(from, load<f32>(scale), n, to);
  else if (type == BF16) expandBf16(from, n, to);
  else memory.copy(to, from, <usize>n << 2);
}

function expandBf16(from: usize, n: i32, to: usize): void {
  for (const end = to + (<usize>(n & ~7) << 2); to < end; to += 32, from += 16) {
    v128.store(to, i32x4.shl(v128.load16x4_u(from), 16));
    v128.store(to, i32x4.shl(v128.load16x4_u(from, 8), 16), 16);
  }
  for (let left = n & 7; left > 0; left--, to += 4, from += 2) store<u32>(to, <u32>load<u16>(from) << 16);
}

function expandQ8(from: usize, scale: f32, n: i32, to: usize): void {
  const d = f32x4.splat(scale);
  for (const end = to + (<usize>(n & ~7) << 2); to < end; to += 32, from += 8) {
    const x = v128.load8x8_s(from);
    v128.store(to, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(x))));
    v128.store(to, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(x))), 16);
  }
  for (let left = n & 7; left > 0; left--, to += 4, from++) store<f32>(to, scale * <f32>load<i8>(from));
}

/** The way in: `n` float32 at `from` rounded to the type, and their scale. */
export function reduce(type: i32, from: usize, n: i32, to: usize, scale: usize): void {
  if (type == Q8) reduceQ8(from, n, to, scale);
  else if (type == BF16) for (; n > 0; n--, from += 4, to += 2) store<u16>(to, bfloat16(load<f32>(from)));
  else memory.copy(to, from, <usize>n << 2);
}

/** The nearest bfloat16, the even one of two as near. */
function bfloat16(x: f32): u16 {
  if (x != x) return 0x7fc0;
  const bits = reinterpret<u32>(x);
  return <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/** A number that is none, or infinite, makes the scale so too: what comes back is then NaN, all of it. */
function reduceQ8(from: usize, n: i32, to: usize, scale: usize): void {
  let most = f32x4.splat(0);
  for (let i = 0; i < n; i += 4) most = f32x4.max(most, f32x4.abs(loadPart(from + (<usize>i << 2), n - i, 0)));
  const pair = f32x4.max(most, v128.shuffle<f32>(most, most, 2, 3, 2, 3));
  const d = max<f32>(f32x4.extract_lane(pair, 0), f32x4.extract_lane(pair, 1)) / 127;
  store<f32>(scale, d);
  for (; n > 0; n--, from += 4, to++) {
    const x: f32 = d > 0 ? nearest<f32>(load<f32>(from) / d) : 0;
    store<i8>(to, <i8>(x >= -127 ? min<f32>(x, 127) : -127));
  }
}

