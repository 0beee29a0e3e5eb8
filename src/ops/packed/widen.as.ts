// A strip of packed weights as the tile wants it: scales and minima as floats, and numbers of 4 and 6 bits as bytes, panels side by
// side. Those of 8 bits stay where they are, unless any bytes are multiplied (`dots`): then they are there too, 128 above theirs.
import { Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { nibbleMask, pairMask, quickHalves, halfBias, halfMask, signMask } from "./half.as";
import { signed4, unsigned4 } from "./spread.as";
import { LANES, PANELS } from "./tile.as";

/** Columns that are widened at a time: a super-block. */
export const WIDENED: i32 = 256;
/** Where a strip's scales, minima and the scales and minima of its super-block lie behind its numbers. */
export const SCALES: usize = 64 * LANES;
export const MINIMA: usize = SCALES + 16 * LANES;
export const OUTER: usize = MINIMA + 8 * LANES;

/** How far whole numbers stand above theirs. */
// @ts-ignore: decorator
@inline
export function offsetOf(dots: bool, format: i32): i32 {
  if (format == Q8_0) return dots ? 128 : 0;
  return format == Q4_0 ? 8 : format == Q4_1 || format == Q4_K ? 0 : 32;
}

/** Columns `from` (a multiple of WIDENED) to `from + n` of PANELS panels, `bytes` apart, of which there are `count`. */
export function widen(
  dots: bool, format: i32, panel: usize, bytes: usize, count: i32, from: i32, n: i32, to: usize,
): void {
  for (let i = 0; i < PANELS; i += 2, to += 32) {
    // Panels that are not there are the last one again: nobody reads their sums.
    const x = panel + <usize>min(i, count - 1) * bytes, apart = i + 1 < count ? bytes : 0;
    const blocks = n >> 5;
    if (format == Q8_0 && dots) wholes(x + <usize>(from >> 6) * 272, apart, blocks, to);
    else if (format == Q8_0) scalesOnly(x + <usize>(from >> 6) * 272, apart, blocks, to + SCALES);
    else if (format == Q4_0) nibbles(x + <usize>(from >> 6) * 144, apart, 16, blocks, to);
    else if (format == Q4_1) nibbles(x + <usize>(from >> 6) * 160, apart, 32, blocks, to);
    else if (format == Q4_K) runs(x + <usize>(from >> 8) * 592, apart, to);
    else sixes(x + <usize>(from >> 8) * 848, apart, to);
  }
}

/** Halves of both panels. */
// @ts-ignore: decorator
@inline
function scale(x: usize, apart: usize, to: usize): void {
  const mask = halfMask(), bias = halfBias();
  const a = quickHalves(x, mask, bias), b = quickHalves(x + apart, mask, bias);
  both(a, b, to);
}

function scalesOnly(x: usize, apart: usize, blocks: i32, to: usize): void {
  for (let block = 0; block < blocks; block++, to += LANES) {
    const odd = <usize>(block & 1);
    scale(x + (odd << 3), apart, to);
    if (odd) x += 272;
  }
}

/** Q8_0 as bytes that stand 128 above theirs. */
function wholes(x: usize, apart: usize, blocks: i32, to: usize): void {
  const sign = signMask();
  let scales = to + SCALES;
  for (let block = 0; block < blocks; block++, scales += LANES) {
    const second = <usize>(block & 1);
    scale(x + (second << 3), apart, scales);
    const at = x + 16 + (second << 7);
    half(at, at + apart, sign, to);
    half(at + 64, at + 64 + apart, sign, to + 4 * LANES);
    to += 8 * LANES;
    if (second) x += 272;
  }
}

/** 16 columns of both panels. */
// @ts-ignore: decorator
@inline
function half(a: usize, b: usize, sign: v128, to: usize): void {
  v128.store(to, v128.xor(v128.load(b), sign), 16);
  v128.store(to, v128.xor(v128.load(a), sign));
  v128.store(to, v128.xor(v128.load(b, 16), sign), LANES + 16);
  v128.store(to, v128.xor(v128.load(a, 16), sign), LANES);
  v128.store(to, v128.xor(v128.load(b, 32), sign), 2 * LANES + 16);
  v128.store(to, v128.xor(v128.load(a, 32), sign), 2 * LANES);
  v128.store(to, v128.xor(v128.load(b, 48), sign), 3 * LANES + 16);
  v128.store(to, v128.xor(v128.load(a, 48), sign), 3 * LANES);
}

/** Four columns of both panels. */
// @ts-ignore: decorator
@inline
function both(a: v128, b: v128, to: usize): void {
  v128.store(to, b, 16);
  v128.store(to, a);
}

/** Low nibbles, and high ones `high` bytes on. */
// @ts-ignore: decorator
@inline
function splitNibbles(from: usize, apart: usize, bytes: usize, nibble: v128, to: usize, high: usize): void {
  for (const end = from + bytes; from < end; from += 16, to += LANES) {
    const a = v128.load(from), b = v128.load(from + apart);
    both(v128.and(a, nibble), v128.and(b, nibble), to);
    both(v128.and(i16x8.shr_u(a, 4), nibble), v128.and(i16x8.shr_u(b, 4), nibble), to + high);
  }
}

/** Q4_0, and Q4_1 with its minima behind the scales. `head`: bytes before the nibbles. */
function nibbles(x: usize, apart: usize, head: usize, blocks: i32, to: usize): void {
  const nibble = nibbleMask();
  let scales = to + SCALES;
  for (let block = 0; block < blocks; block++, to += 8 * LANES, scales += LANES) {
    const second = <usize>(block & 1);
    scale(x + (second << 3), apart, scales);
    if (head > 16) scale(x + 16 + (second << 3), apart, scales + (MINIMA - SCALES));
    splitNibbles(x + head + (second << 6), apart, 64, nibble, to, 4 * LANES);
    if (second) x += head + 128;
  }
}

/** Q4_K, one super-block: 64 columns from each 32 bytes of a row, the first 32 in the low nibbles. */
function runs(x: usize, apart: usize, to: usize): void {
  const nibble = nibbleMask();
  scale(x, apart, to + OUTER);
  scale(x + 8, apart, to + OUTER + LANES);
  let scales = to + SCALES;
  for (let at = x + 16; at < x + 80; at += 8, scales += LANES) {
    both(unsigned4(at), unsigned4(at + apart), scales);
    both(unsigned4(at + 4), unsigned4(at + 4 + apart), scales + (MINIMA - SCALES));
  }
  for (let from = x + 80; from < x + 592; from += 128, to += 16 * LANES)
    splitNibbles(from, apart, 128, nibble, to, 8 * LANES);
}

/** Q6_K, one super-block: for each half the first 16 columns of its four runs, then the others. */
function sixes(x: usize, apart: usize, to: usize): void {
  scale(x, apart, to + OUTER);
  let scales = to + SCALES;
  for (let half: usize = 0; half < 2; half++)
    for (let part: usize = 0; part < 2; part++, to += 16 * LANES) {
      for (let run: usize = 0; run < 4; run++, scales += LANES) {
        const at = x + 16 + ((half << 3 | run << 1 | part) << 2);
        both(signed4(at), signed4(at + apart), scales);
      }
      splitSixes(x + 80 + (half << 8) + (part << 6), x + 592 + (half << 7) + (part << 6), apart, to);
    }
}

/** 16 columns of four runs. */
function splitSixes(low: usize, high: usize, apart: usize, to: usize): void {
  const nibble = nibbleMask(), upper = pairMask();
  for (const end = low + 64; low < end; low += 16, high += 16, to += LANES) {
    const a = v128.load(low), b = v128.load(low + apart), p = v128.load(high), q = v128.load(high + apart);
    const c = v128.load(low, 128), d = v128.load(low + apart, 128);
    both(v128.or(v128.and(a, nibble), v128.and(i16x8.shl(p, 4), upper)), v128.or(v128.and(b, nibble), v128.and(i16x8.shl(q, 4), upper)), to);
    both(v128.or(v128.and(c, nibble), v128.and(i16x8.shl(p, 2), upper)), v128.or(v128.and(d, nibble), v128.and(i16x8.shl(q, 2), upper)), to + 4 * LANES);
    both(v128.or(v128.and(i16x8.shr_u(a, 4), nibble), v128.and(p, upper)), v128.or(v128.and(i16x8.shr_u(b, 4), nibble), v128.and(q, upper)), to + 8 * LANES);
    both(v128.or(v128.and(i16x8.shr_u(c, 4), nibble), v128.and(i16x8.shr_u(p, 2), upper)), v128.or(v128.and(i16x8.shr_u(d, 4), nibble), v128.and(i16x8.shr_u(q, 2), upper)), to + 12 * LANES);
  }
}
