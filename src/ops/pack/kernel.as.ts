// From the rows of a file to panels of four rows whose 4-byte words take turns.
import { address, first, next, piecesOf, whole } from "../../device/thread.as";
import { BF16, F16, F8_E4M3, Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import * as slot from "./slot";

/** Panels of a piece. */
const EACH: i32 = 4;

export function repack(args: usize, _thread: i32): void {
  const n = whole(args, slot.END) - whole(args, slot.FIRST);
  const pieces = piecesOf(n, EACH);
  for (let piece = first(pieces); piece < pieces; piece = next())
    repackRun(piece * EACH, min(n, (piece + 1) * EACH), args);
}

function repackRun(i: i32, to: i32, args: usize): void {
  const above = whole(args, slot.FIRST);
  const inner = whole(args, slot.INNER);
  const each = (inner + 3) >> 2;
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  let careful: i32 = 0;
  for (; i < to; i++) {
    const group = (above + i) / each;
    const row = (above + i - group * each) << 2;
    careful |= place(args, address(args, slot.TO) + <usize>i * bytes, group * inner + row, inner - row);
  }
  if (careful) atomic.store<i32>(address(args, slot.ANSWER), 1);
}

/** The file's number of row `row` of ours. */
// @ts-ignore: decorator
@inline
function numberOf(args: usize, row: i32): i32 {
  return load<i32>(address(args, slot.NUMBERS) + (<usize>row << 2));
}

/** Where row `row` of ours lies among those of the file; zeros for a lane that has none. */
function rowAt(args: usize, row: i32, there: bool): usize {
  if (!there) return address(args, slot.ZEROS);
  const below = <usize>(numberOf(args, row) - whole(args, slot.LOW));
  return address(args, slot.FROM) + below * <usize>whole(args, slot.ROW_BYTES);
}

/** Where the scales of row `row` of ours lie, in F8_E4M3; zeros for a lane that has none. */
function scalesAt(args: usize, row: i32, there: bool): usize {
  if (!there) return address(args, slot.ZEROS);
  return address(args, slot.SCALES) + (<usize>((numberOf(args, row) >> 7) * whole(args, slot.PER_ROW)) << 2);
}

/** Fills a panel with four rows of ours from `row` on, of which `left` are there; not 0 where one of their numbers needs care. */
function place(args: usize, panel: usize, row: i32, left: i32): i32 {
  const format = whole(args, slot.FORMAT);
  const width = whole(args, slot.COLUMNS);
  let a = rowAt(args, row, true);
  let b = rowAt(args, row + 1, left > 1);
  let c = rowAt(args, row + 2, left > 2);
  let d = rowAt(args, row + 3, left > 3);
  let careful: i32 = 0;
  if (format == F16 || format == BF16) {
    weave(panel, a, b, c, d, width << 1, ((width + 7) & -8) << 1);
    if (format == F16) careful = noHalves(a, width) | noHalves(b, width) | noHalves(c, width) | noHalves(d, width);
  } else if (format == F8_E4M3) {
    let e = scalesAt(args, row, true);
    let f = scalesAt(args, row + 1, left > 1);
    let g = scalesAt(args, row + 2, left > 2);
    let h = scalesAt(args, row + 3, left > 3);
    for (let n = width; n > 0; n -= 128, panel += 528) {
      words(panel, load<i32>(e), load<i32>(f), load<i32>(g), load<i32>(h));
      const some = min(n, 128);
      weave(panel + 16, a, b, c, d, some, 128);
      careful |= noBytes(a, some) | noBytes(b, some) | noBytes(c, some) | noBytes(d, some);
      a += 128;
      b += 128;
      c += 128;
      d += 128;
      e += 4;
      f += 4;
      g += 4;
      h += 4;
    }
  } else if (format == Q8_0 || format == Q4_0 || format == Q4_1) {
    // A block's scale, or scale and minimum, and its numbers; a panel has those of two blocks together.
    const head: usize = format == Q4_1 ? 4 : 2;
    const each: usize = format == Q8_0 ? 32 : 16;
    for (let done = 0; done < width; done += 32) {
      const odd = <usize>((done >> 5) & 1);
      careful |= halves(panel + (odd << 3), a, b, c, d);
      if (head == 4) careful |= halves(panel + 16 + (odd << 3), a + 2, b + 2, c + 2, d + 2);
      const numbers = panel + (head << 3) + odd * (each << 2);
      weave(numbers, a + head, b + head, c + head, d + head, <i32>each, <i32>each);
      // The one number whose sign cannot be turned.
      if (format == Q8_0) careful |= least8(a + 2) | least8(b + 2) | least8(c + 2) | least8(d + 2);
      a += head + each;
      b += head + each;
      c += head + each;
      d += head + each;
      if (odd) panel += (head << 3) + (each << 3);
    }
    if (width & 32) {
      store<i64>(panel, 0, 8);
      if (head == 4) store<i64>(panel, 0, 24);
    }
  } else if (format == Q4_K) {
    for (let i = width >> 8; i > 0; i--, panel += 592) {
      careful |= halves(panel, a, b, c, d) | halves(panel + 8, a + 2, b + 2, c + 2, d + 2);
      for (let run = 0; run < 8; run++) {
        const pair = panel + 16 + (<usize>run << 3);
        pairOf(pair, a + 4, run);
        pairOf(pair + 1, b + 4, run);
        pairOf(pair + 2, c + 4, run);
        pairOf(pair + 3, d + 4, run);
      }
      weave(panel + 80, a + 16, b + 16, c + 16, d + 16, 128, 128);
      a += 144;
      b += 144;
      c += 144;
      d += 144;
    }
  } else {
    for (let i = width >> 8; i > 0; i--, panel += 848) {
      careful |= halves(panel, a + 208, b + 208, c + 208, d + 208);
      for (let j: usize = 0; j < 16; j++) {
        const scale = panel + 16 + (j << 2);
        store<u8>(scale, load<u8>(a + j, 192));
        store<u8>(scale, load<u8>(b + j, 192), 1);
        store<u8>(scale, load<u8>(c + j, 192), 2);
        store<u8>(scale, load<u8>(d + j, 192), 3);
      }
      weave(panel + 80, a, b, c, d, 192, 192);
      a += 210;
      b += 210;
      c += 210;
      d += 210;
    }
  }
  return careful;
}

/** `n` bytes of each of four rows, then zeros up to `all`: the rows' 4-byte words take turns. */
function weave(to: usize, a: usize, b: usize, c: usize, d: usize, n: i32, all: i32): void {
  let done: i32 = 0;
  for (; done + 16 <= n; done += 16, to += 64) {
    const i = <usize>done;
    const x = v128.load(a + i);
    const y = v128.load(b + i);
    const z = v128.load(c + i);
    const w = v128.load(d + i);
    const low = v128.shuffle<i32>(x, y, 0, 4, 1, 5);
    const lower = v128.shuffle<i32>(z, w, 0, 4, 1, 5);
    const high = v128.shuffle<i32>(x, y, 2, 6, 3, 7);
    const higher = v128.shuffle<i32>(z, w, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(low, lower, 0, 2));
    v128.store(to, v128.shuffle<i64>(low, lower, 1, 3), 16);
    v128.store(to, v128.shuffle<i64>(high, higher, 0, 2), 32);
    v128.store(to, v128.shuffle<i64>(high, higher, 1, 3), 48);
  }
  for (; done < all; done += 4, to += 16) {
    const i = <usize>done;
    const left = n - done;
    words(to, word(a + i, left), word(b + i, left), word(c + i, left), word(d + i, left));
  }
}

/** A word of each of four rows. */
// @ts-ignore: decorator
@inline
function words(to: usize, a: i32, b: i32, c: i32, d: i32): void {
  store<i32>(to, a);
  store<i32>(to, b, 4);
  store<i32>(to, c, 8);
  store<i32>(to, d, 12);
}

/** Up to four bytes, zeros after the first `n`. */
function word(at: usize, n: i32): i32 {
  if (n >= 4) return load<i32>(at);
  let bits: i32 = 0;
  for (let i = 0; i < n; i++) bits |= <i32>load<u8>(at + i) << (i << 3);
  return bits;
}

/** A half of each of four rows, side by side; 1 where one is an infinity or NaN. */
// @ts-ignore: decorator
@inline
function halves(to: usize, a: usize, b: usize, c: usize, d: usize): i32 {
  store<u16>(to, load<u16>(a));
  store<u16>(to, load<u16>(b), 2);
  store<u16>(to, load<u16>(c), 4);
  store<u16>(to, load<u16>(d), 6);
  return noHalf(a) | noHalf(b) | noHalf(c) | noHalf(d);
}

/** 1 where one of `n` 8-bit floats is a NaN. */
function noBytes(at: usize, n: i32): i32 {
  let found: i32 = 0;
  for (let i = 0; i < n; i++) found |= i32((load<u8>(at + i) & 127) == 127);
  return found;
}

/** 1 for an infinity or NaN. */
// @ts-ignore: decorator
@inline
function noHalf(at: usize): i32 {
  return i32((load<u16>(at) & 0x7c00) == 0x7c00);
}

/** 1 where one of `n` halves is an infinity or NaN. */
function noHalves(at: usize, n: i32): i32 {
  let found = i16x8.splat(0);
  const exponent = i16x8.splat(0x7c00);
  for (; n >= 8; n -= 8, at += 16) found = v128.or(found, i16x8.eq(v128.and(v128.load(at), exponent), exponent));
  let careful = i32(v128.any_true(found));
  for (; n > 0; n--, at += 2) careful |= noHalf(at);
  return careful;
}

/** 1 where one of 32 bytes is -128. */
// @ts-ignore: decorator
@inline
function least8(at: usize): i32 {
  const least = i8x16.splat(-128);
  return i32(v128.any_true(v128.or(i8x16.eq(v128.load(at), least), i8x16.eq(v128.load(at, 16), least))));
}

/** Scale and minimum of a run of Q4_K: of the first four, the lower 6 bits of two bytes; the others are spread over three. */
function pairOf(to: usize, x: usize, run: i32): void {
  const low = <u32>load<u8>(x + run, 4);
  let scale: u32 = load<u8>(x + run) & 63;
  let least: u32 = low & 63;
  if (run > 3) {
    scale = (low & 15) | ((<u32>load<u8>(x + run - 4) >> 6) << 4);
    least = (low >> 4) | ((<u32>load<u8>(x + run) >> 6) << 4);
  }
  store<u8>(to, scale);
  store<u8>(to, least, 4);
}
