// out = alpha x + beta y.
import { GRAIN, address, first, next, piecesOf, real, whole } from "../../device/thread.as";
import { loadPart, madd, storePart } from "../simd.as";
import * as slot from "./slot";

export function combine(args: usize, _thread: i32): void {
  const n = whole(args, slot.SIZE);
  const y = address(args, slot.Y);
  const pieces = piecesOf(n, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    const skip = <usize>from << 2;
    const length = min(GRAIN, n - from);
    if (y) combineTwo(length, address(args, slot.OUT) + skip, address(args, slot.X) + skip, y + skip, real(args, slot.ALPHA), real(args, slot.BETA));
    else combineOne(length, address(args, slot.OUT) + skip, address(args, slot.X) + skip, real(args, slot.ALPHA));
  }
}

function combineTwo(n: i32, out: usize, x: usize, y: usize, alpha: f32, beta: f32): void {
  const a = f32x4.splat(alpha);
  const b = f32x4.splat(beta);
  for (; n >= 8; n -= 8) {
    const s = madd(a, v128.load(x), f32x4.mul(b, v128.load(y)));
    const t = madd(a, v128.load(x, 16), f32x4.mul(b, v128.load(y, 16)));
    v128.store(out, s);
    v128.store(out, t, 16);
    out += 32;
    x += 32;
    y += 32;
  }
  for (; n > 0; n -= 4, out += 16, x += 16, y += 16)
    storePart(out, n, madd(a, loadPart(x, n, 0), f32x4.mul(b, loadPart(y, n, 0))));
}

function combineOne(n: i32, out: usize, x: usize, alpha: f32): void {
  const a = f32x4.splat(alpha);
  for (; n >= 8; n -= 8, out += 32, x += 32) {
    const s = f32x4.mul(a, v128.load(x));
    const t = f32x4.mul(a, v128.load(x, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
  }
  for (; n > 0; n -= 4, out += 16, x += 16) storePart(out, n, f32x4.mul(a, loadPart(x, n, 0)));
}
