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
    const panel = address(args, slot.TO) + <usize>i * bytes;
    if (row + 4 > inner) memory.fill(panel, 0, bytes);
    for (let lane = 0; lane < min(4, inner - row); lane++) {
      const at = <usize>(group * inner + row + lane) << 2;
      careful |= place(args, panel, lane, load<i32>(address(args, slot.NUMBERS) + at));
    }
  }
  if (careful) atomic.store<i32>(address(args, slot.ANSWER), 1);
}

/** Puts row `row` of the file into a lane; not 0 where one of its numbers needs care. */
function place(args: usize, panel: usize, lane: i32, row: i32): i32 {
  const format = whole(args, slot.FORMAT);
  const width = whole(args, slot.COLUMNS);
  let x = address(args, slot.FROM) + <usize>(row - whole(args, slot.LOW)) * <usize>whole(args, slot.ROW_BYTES);
  const to = panel + (<usize>lane << 2);
  let careful: i32 = 0;
  if (format == F16 || format == BF16) {
    weave(to, x, width << 1, ((width + 7) & -8) << 1);
    if (format == F16) careful |= noHalves(x, width);
  } else if (format == F8_E4M3) {
    let scale = address(args, slot.SCALES) + (<usize>((row >> 7) * whole(args, slot.PER_ROW)) << 2);
    let y = to;
    for (let left = width; left > 0; left -= 128, scale += 4, y += 528) {
      store<i32>(y, load<i32>(scale));
      weave(y + 16, x, min(left, 128), 128);
      for (let i = min(left, 128); i > 0; i--, x++) careful |= i32((load<u8>(x) & 127) == 127);
    }
  } else if (format == Q8_0 || format == Q4_0) {
    const each = format == Q8_0 ? 32 : 16;
    let pair = panel;
    for (let done = 0; done < width; done += 32) {
      const odd = <usize>((done >> 5) & 1);
      const scale = pair + (odd << 3) + (<usize>lane << 1);
      store<u16>(scale, load<u16>(x));
      careful |= noHalf(x);
      weave(pair + 16 + odd * <usize>(each << 2) + (<usize>lane << 2), x + 2, each, each);
      // The one number whose sign cannot be turned.
      if (format == Q8_0) careful |= least8(x + 2);
      x += each + 2;
      if (odd) pair += 16 + <usize>(each << 3);
      else if (done + 32 == width) store<u16>(scale, 0, 8);
    }
  } else if (format == Q4_1) {
    let pair = panel;
    for (let done = 0; done < width; done += 32, x += 20) {
      const odd = <usize>((done >> 5) & 1);
      const scale = pair + (odd << 3) + (<usize>lane << 1);
      store<u16>(scale, load<u16>(x));
      store<u16>(scale, load<u16>(x, 2), 16);
      careful |= noHalf(x) | noHalf(x + 2);
      weave(pair + 32 + (odd << 6) + (<usize>lane << 2), x + 4, 16, 16);
      if (odd) pair += 160;
      else if (done + 32 == width) {
        store<u16>(scale, 0, 8);
        store<u16>(scale, 0, 24);
      }
    }
  } else if (format == Q4_K) {
    let y = panel;
    for (let i = width >> 8; i > 0; i--, x += 144, y += 592) {
      const d = y + (<usize>lane << 1);
      store<u16>(d, load<u16>(x));
      store<u16>(d, load<u16>(x, 2), 8);
      careful |= noHalf(x) | noHalf(x + 2);
      for (let run = 0; run < 8; run++) pairOf(y + 16 + (<usize>run << 3) + lane, x + 4, run);
      weave(y + 80 + (<usize>lane << 2), x + 16, 128, 128);
    }
  } else {
    let y = panel;
    for (let i = width >> 8; i > 0; i--, x += 210, y += 848) {
      store<u16>(y + (<usize>lane << 1), load<u16>(x, 208));
      careful |= noHalf(x + 208);
      for (let j = 0; j < 16; j++) store<u8>(y + 16 + (<usize>j << 2) + lane, load<u8>(x + 192 + j));
      weave(y + 80 + (<usize>lane << 2), x, 192, 192);
    }
  }
  return careful;
}

/** `bytes` bytes, then zeros up to `all`, to every fourth word. */
function weave(to: usize, from: usize, bytes: i32, all: i32): void {
  let done = 0;
  for (; done + 4 <= bytes; done += 4, from += 4, to += 16) store<i32>(to, load<i32>(from));
  for (; done < all; done += 4, to += 16) {
    let word: i32 = 0;
    for (let i = 0; done + i < bytes; i++, from++) word |= <i32>load<u8>(from) << (i << 3);
    store<i32>(to, word);
  }
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
