// The gate of SwiGLU: silu(a) b.
import { GRAIN, address, first, next, piecesOf, whole } from "../../device/thread.as";
import { loadPart, madd, sigmoid4, storePart } from "../simd.as";
import * as slot from "./slot";

export function gate(args: usize, _thread: i32): void {
  const n = whole(args, slot.SIZE);
  const pieces = piecesOf(n, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    const skip = <usize>from << 2;
    gateRun(min(GRAIN, n - from), address(args, slot.OUT) + skip, address(args, slot.A) + skip, address(args, slot.B) + skip);
  }
}

function gateRun(n: i32, out: usize, a: usize, b: usize): void {
  for (; n >= 8; n -= 8) {
    const x = v128.load(a);
    const y = v128.load(a, 16);
    const s = f32x4.mul(f32x4.mul(x, sigmoid4(x)), v128.load(b));
    const t = f32x4.mul(f32x4.mul(y, sigmoid4(y)), v128.load(b, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
    a += 32;
    b += 32;
    out += 32;
  }
  for (; n > 0; n -= 4, a += 16, b += 16, out += 16) {
    const x = loadPart(a, n, 0);
    storePart(out, n, f32x4.mul(f32x4.mul(x, sigmoid4(x)), loadPart(b, n, 0)));
  }
}

export function gateBackward(args: usize, _thread: i32): void {
  const n = whole(args, slot.SIZE);
  const pieces = piecesOf(n, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    const skip = <usize>from << 2;
    backRun(
      min(GRAIN, n - from), address(args, slot.OUT) + skip, address(args, slot.DB) + skip, address(args, slot.A) + skip,
      address(args, slot.B) + skip, address(args, slot.G) + skip,
    );
  }
}

function backRun(n: i32, da: usize, db: usize, a: usize, b: usize, g: usize): void {
  for (; n >= 8; n -= 8) {
    const x = v128.load(a);
    const y = v128.load(a, 16);
    const s = sigmoid4(x);
    const t = sigmoid4(y);
    const gs = f32x4.mul(v128.load(g), s);
    const gt = f32x4.mul(v128.load(g, 16), t);
    const u = slope(gs, v128.load(b), x, s);
    const v = slope(gt, v128.load(b, 16), y, t);
    v128.store(da, u);
    v128.store(da, v, 16);
    v128.store(db, f32x4.mul(gs, x));
    v128.store(db, f32x4.mul(gt, y), 16);
    da += 32;
    db += 32;
    a += 32;
    b += 32;
    g += 32;
  }
  for (; n > 0; n -= 4) {
    const x = loadPart(a, n, 0);
    const s = sigmoid4(x);
    const gs = f32x4.mul(loadPart(g, n, 0), s);
    storePart(da, n, slope(gs, loadPart(b, n, 0), x, s));
    storePart(db, n, f32x4.mul(gs, x));
    da += 16;
    db += 16;
    a += 16;
    b += 16;
    g += 16;
  }
}

/** g s b (1 + x (1 - s)), given g s. */
// @ts-ignore: decorator
@inline
function slope(gs: v128, b: v128, x: v128, s: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.mul(f32x4.mul(gs, b), madd(x, f32x4.sub(one, s), one));
}
