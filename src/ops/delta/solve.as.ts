// A chunk's corrections U, by forward substitution, block by block.
import { madd } from "../simd.as";
import { LANES, N, N4, PANEL, V, V4, far, panel, rates, vals } from "./build.as";
import { BLOCK } from "./chunk";
import { product } from "./tile.as";

/**
 * Solves U = beta R, R = V - Khat S - (A / beta) U. `read` `[blocks][LANES][V]` becomes far S: what S holds for keys
 * and queries; with the pairs' part added to the rows of keys, and of queries too if `outputs` (they are the outputs
 * then). R takes the place of the values.
 */
export function solve(blocks: i32, S: usize, read: usize, U: usize, outputs: bool): void {
  product(blocks * LANES, V, N, far, N4, 4, S, V4, read, V4, 0);
  for (let block = 0; block < blocks; block++) {
    const rows = block * BLOCK, here = <usize>rows * V4;
    const y = read + 2 * here, a = panel(block);
    if (rows) product(BLOCK, V, rows, a, 4, PANEL, U, V4, y, V4, 1);
    const own = a + <usize>rows * PANEL, rate = rates + (<usize>rows << 2);
    for (let i: usize = 0, at: usize = 0; i < <usize>BLOCK; i++, at += V4) {
      gather(i, own + (i << 2), PANEL, U + here, y + at);
      correct(vals + here + at, y + at, load<f32>(rate + (i << 2)), U + here + at);
    }
    if (outputs) product(BLOCK, V, rows + BLOCK, a + BLOCK * 4, 4, PANEL, U, V4, y + <usize>BLOCK * V4, V4, 1);
  }
}

/** c += sum of `count` rows of b, each times the next float of a, `step` bytes on. */
export function gather(count: usize, a: usize, step: usize, b: usize, c: usize): void {
  if (count == 0) return;
  for (const end = c + V4; c < end; c += 64, b += 64) {
    let x0 = v128.load(c), x1 = v128.load(c, 16), x2 = v128.load(c, 32), x3 = v128.load(c, 48);
    let at = a, y = b;
    for (const last = b + count * V4; y < last; y += V4, at += step) {
      const w = v128.load_splat<f32>(at);
      x0 = madd(w, v128.load(y), x0);
      x1 = madd(w, v128.load(y, 16), x1);
      x2 = madd(w, v128.load(y, 32), x2);
      x3 = madd(w, v128.load(y, 48), x3);
    }
    v128.store(c, x0);
    v128.store(c, x1, 16);
    v128.store(c, x2, 32);
    v128.store(c, x3, 48);
  }
}

/** r = r - y; u = rate r. */
function correct(r: usize, y: usize, rate: f32, u: usize): void {
  const f = f32x4.splat(rate);
  for (const end = r + V4; r < end; r += 32, y += 32, u += 32) {
    const s = f32x4.sub(v128.load(r), v128.load(y)), t = f32x4.sub(v128.load(r, 16), v128.load(y, 16));
    v128.store(r, s);
    v128.store(r, t, 16);
    v128.store(u, f32x4.mul(f, s));
    v128.store(u, f32x4.mul(f, t), 16);
  }
}
