// Rotation of pairs of numbers by a table of cosines and sines.
import { address, first, next, piecesOf, real, rowsOf, whole } from "../../device/thread.as";
import { loadPart, madd, nmadd, storePart } from "../simd.as";
import * as slot from "./slot";

export function rope(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const each = rowsOf(whole(args, slot.VECTORS) * whole(args, slot.WIDTH));
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    turnRows(piece * each, min(rows, (piece + 1) * each), args);
}

function turnRows(row: i32, to: i32, args: usize): void {
  const vectors = whole(args, slot.VECTORS);
  const e = <usize>whole(args, slot.WIDTH) << 2;
  const pairs = whole(args, slot.PAIRS);
  const still = e - (<usize>pairs << 3);
  for (; row < to; row++) {
    const cos = address(args, slot.TABLE) + (<usize>(2 * row * pairs) << 2);
    const sin = cos + (<usize>pairs << 2);
    let out = address(args, slot.OUT) + <usize>(row * vectors) * e;
    let x = address(args, slot.X) + <usize>(row * vectors) * e;
    for (let i = 0; i < vectors; i++, x += e, out += e) {
      if (still) memory.copy(out, x, still);
      if (whole(args, slot.INTERLEAVED)) turnInterleaved(pairs, x + still, cos, sin, real(args, slot.SIGN), out + still);
      else turnHalf(pairs, x + still, cos, sin, real(args, slot.SIGN), out + still);
    }
  }
}

/** Pairs (i, i + pairs). */
function turnHalf(pairs: i32, x: usize, cos: usize, sin: usize, sign: f32, out: usize): void {
  const apart = <usize>pairs << 2;
  const f = f32x4.splat(sign);
  for (let n = pairs; n > 0; n -= 4) {
    const c = loadPart(cos, n, 0);
    const s = f32x4.mul(f, loadPart(sin, n, 0));
    const a = loadPart(x, n, 0);
    const b = loadPart(x + apart, n, 0);
    storePart(out, n, nmadd(b, s, f32x4.mul(a, c)));
    storePart(out + apart, n, madd(a, s, f32x4.mul(b, c)));
    x += 16;
    out += 16;
    cos += 16;
    sin += 16;
  }
}

/** Pairs (2 i, 2 i + 1). */
function turnInterleaved(pairs: i32, x: usize, cos: usize, sin: usize, sign: f32, out: usize): void {
  const f = f32x4.splat(sign);
  for (let n = pairs; n > 0; n -= 4) {
    const c = loadPart(cos, n, 0);
    const s = f32x4.mul(f, loadPart(sin, n, 0));
    const u = loadPart(x, 2 * n, 0);
    const v = n > 2 ? loadPart(x + 16, 2 * n - 4, 0) : f32x4.splat(0);
    const a = v128.shuffle<f32>(u, v, 0, 2, 4, 6);
    const b = v128.shuffle<f32>(u, v, 1, 3, 5, 7);
    const p = nmadd(b, s, f32x4.mul(a, c));
    const q = madd(a, s, f32x4.mul(b, c));
    storePart(out, 2 * n, v128.shuffle<f32>(p, q, 0, 4, 1, 5));
    if (n > 2) storePart(out + 16, 2 * n - 4, v128.shuffle<f32>(p, q, 2, 6, 3, 7));
    x += 32;
    out += 32;
    cos += 16;
    sin += 16;
  }
}
