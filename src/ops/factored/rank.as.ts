// Where ranks are summed or spread: elementwise work between the two contractions of a block of keys, on panels [.][COLUMNS]
// with a head in each lane.
import { WIDTH } from "../attend/tile.as";
import { COLUMNS } from "../einsum/micro.as";
import { madd } from "../simd.as";

/** `n` tokens of `[heads][rank]`, COLUMNS heads from `first` on, as panels [n][rank][COLUMNS]; the last head fills up. */
export function liftHeads(from: usize, n: i32, heads: i32, rank: i32, first: i32, to: usize): void {
  const step = <usize>rank << 2, token = <usize>heads * step;
  for (; n > 0; n--, from += token) {
    const last = from + token - step;
    for (let r: usize = 0; r < step; r += 4, to += WIDTH)
      for (let lane = 0; lane < COLUMNS; lane += 4) {
        const a = from + <usize>(first + lane) * step;
        let x = v128.load32_zero(min(a, last) + r);
        x = v128.load32_lane(min(a + step, last) + r, x, 1);
        x = v128.load32_lane(min(a + 2 * step, last) + r, x, 2);
        x = v128.load32_lane(min(a + 3 * step, last) + r, x, 3);
        v128.store(to + (<usize>lane << 2), x);
      }
  }
}

/** Scores [n][COLUMNS]: sums over ranks of `a` [n][rank][COLUMNS] times `u` alike; a step of 0 is one for all. */
export function sumRanks(n: i32, rank: i32, a: usize, stepA: usize, u: usize, stepU: usize, to: usize): void {
  sumStrip(n, rank, a, stepA, u, stepU, to);
  if (WIDE) sumStrip(n, rank, a + 32, stepA, u + 32, stepU, to + 32);
}

function sumStrip(n: i32, rank: i32, a: usize, stepA: usize, u: usize, stepU: usize, to: usize): void {
  const ranks = <usize>rank * WIDTH;
  for (const end = to + <usize>n * WIDTH; to < end; to += WIDTH, a += stepA, u += stepU) {
    let x = f32x4.splat(0), y = f32x4.splat(0);
    for (let r: usize = 0; r < ranks; r += WIDTH) {
      x = madd(v128.load(a + r), v128.load(u + r), x);
      y = madd(v128.load(a + r, 16), v128.load(u + r, 16), y);
    }
    v128.store(to, x);
    v128.store(to, y, 16);
  }
}

/** Weights [n][COLUMNS] times `a` [n][rank][COLUMNS], written [n][rank][COLUMNS]; summed over n where `step` is 0. */
export function spread(n: i32, rank: i32, w: usize, a: usize, stepA: usize, to: usize, step: usize): void {
  if (!step) memory.fill(to, 0, <usize>rank * WIDTH);
  spreadStrip(n, rank, w, a, stepA, to, step);
  if (WIDE) spreadStrip(n, rank, w + 32, a + 32, stepA, to + 32, step);
}

function spreadStrip(n: i32, rank: i32, w: usize, a: usize, stepA: usize, to: usize, step: usize): void {
  const ranks = <usize>rank * WIDTH;
  for (const end = w + <usize>n * WIDTH; w < end; w += WIDTH, a += stepA, to += step) {
    const x = v128.load(w), y = v128.load(w, 16);
    if (step)
      for (let r: usize = 0; r < ranks; r += WIDTH) {
        v128.store(to + r, f32x4.mul(x, v128.load(a + r)));
        v128.store(to + r, f32x4.mul(y, v128.load(a + r, 16)), 16);
      }
    else
      for (let r: usize = 0; r < ranks; r += WIDTH) {
        v128.store(to + r, madd(x, v128.load(a + r), v128.load(to + r)));
        v128.store(to + r, madd(y, v128.load(a + r, 16), v128.load(to + r, 16)), 16);
      }
  }
}
