// Weights from scores, for a panel of COLUMNS queries: S is [keys][COLUMNS], so every query has a lane of its own and
// nothing is summed across lanes. Scores come times log2(e), so that 2^x serves.
import { COLUMNS } from "../einsum/micro.as";
import { madd } from "../simd.as";
import { WIDTH } from "./tile.as";

export const LOG2E: f32 = 1.4426950408889634;
/** A running maximum before any score: finite, so that differences stay numbers. */
export const NONE: f32 = -1e30;

// What a thread keeps of a panel of queries, from its address on.
/** Running maximum of the scores; in the reverse pass log2 of the summed exponentials. Of a stick: see stick.as.ts. */
export const TOP: usize = 0;
/** Running sum of the weights; in the reverse pass sum(g * out). */
export const SUM: usize = WIDTH;
/** Factor on what was summed under the last maximum. */
export const SHRINK: usize = 2 * WIDTH;
/** Last and first visible key, whole numbers. */
export const LAST: usize = 3 * WIDTH;
export const FIRST: usize = 4 * WIDTH;
/** Not 0 once the panel has met a visible key. */
export const MET: usize = 5 * WIDTH;
export const PANEL: usize = 6 * WIDTH;

// 2^f on [-1/2, 1/2] (own minimax fit, relative error 1.1e-7), from degree 5 down.
const P5: f32 = 1.326468e-3;
const P4: f32 = 9.671503e-3;
const P3: f32 = 5.5507338e-2;
const P2: f32 = 2.4022242e-1;
const P1: f32 = 6.9314698e-1;
/** Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits. */
const ROUND: f32 = 12582912;

/** Bytes at an address that `exponential` must have filled before any weights are taken there. */
export const TABLE: usize = 10 * 16;
/** What is left of a stick below this is nothing. */
const NOTHING: f32 = 5.421011e-20;
/** Below this it is too little for what the reverse pass finds to be left of sum(g * out) to be more than rounding. */
const LITTLE: f32 = 2.3841858e-7;

/** V8 builds a constant anew at each use inside a loop; loaded from memory it stays in a register. */
export function exponential(table: usize): void {
  v128.store(table, f32x4.splat(ROUND));
  v128.store(table, f32x4.splat(P5), 16);
  v128.store(table, f32x4.splat(P4), 32);
  v128.store(table, f32x4.splat(P3), 48);
  v128.store(table, f32x4.splat(P2), 64);
  v128.store(table, f32x4.splat(P1), 80);
  v128.store(table, f32x4.splat(1), 96);
  v128.store(table, f32x4.splat(-126), 112);
  v128.store(table, f32x4.splat(NOTHING), 128);
  v128.store(table, f32x4.splat(LITTLE), 144);
}

/** 2^x, relative error below 2e-7; 0 below 2^-126. */
// @ts-ignore: decorator
@inline
export function exp2(
  x: v128,
  round: v128,
  p5: v128,
  p4: v128,
  p3: v128,
  p2: v128,
  p1: v128,
  p0: v128,
  least: v128,
): v128 {
  const n = f32x4.add(x, round);
  const f = f32x4.sub(x, f32x4.sub(n, round));
  let p = madd(p5, f, p4);
  p = madd(p, f, p3);
  p = madd(p, f, p2);
  p = madd(p, f, p1);
  p = madd(p, f, p0);
  return v128.and(i32x4.add(p, i32x4.shl(n, 23)), f32x4.lt(least, x));
}

/** 2^x of one vector, where speed does not matter. */
export function exp2Once(x: v128, table: usize): v128 {
  return exp2(
    x,
    v128.load(table),
    v128.load(table, 16),
    v128.load(table, 32),
    v128.load(table, 48),
    v128.load(table, 64),
    v128.load(table, 80),
    v128.load(table, 96),
    v128.load(table, 112),
  );
}

/** Scores [n][COLUMNS] of keys `key`, `key + 1`, ... that a query does not see become -Infinity. */
export function hide(s: usize, n: i32, key: i32, panel: usize): void {
  const none = f32x4.splat(-Infinity);
  for (let j = 0; j < n; j++) {
    const at = i32x4.splat(key + j);
    for (let i: usize = 0; i < WIDTH; i += 16) {
      const seen = v128.and(
        i32x4.le_s(at, v128.load(panel + i, LAST)),
        i32x4.ge_s(at, v128.load(panel + i, FIRST)),
      );
      v128.store(s + i, v128.bitselect(v128.load(s + i), none, seen));
    }
    s += WIDTH;
  }
}

/**
 * Scores [n][COLUMNS] become weights against the panel's new maximum; the panel's sum follows. Returns whether the maximum
 * of any query rose, in which case what was summed before is to be multiplied by SHRINK.
 */
export function weigh(s: usize, n: i32, panel: usize, table: usize): bool {
  let rose = weighStrip(s, n, panel, table);
  if (WIDE) rose = weighStrip(s + 32, n, panel + 32, table) || rose;
  return rose;
}

/** Eight columns of `weigh`. */
function weighStrip(s: usize, n: i32, panel: usize, table: usize): bool {
  const old0 = v128.load(panel, TOP), old1 = v128.load(panel, TOP + 16);
  const end = s + <usize>n * WIDTH;
  let top0 = old0, top1 = old1;
  for (let at = s; at < end; at += WIDTH) {
    top0 = f32x4.pmax(top0, v128.load(at));
    top1 = f32x4.pmax(top1, v128.load(at, 16));
  }
  const rose = v128.any_true(v128.or(f32x4.ne(top0, old0), f32x4.ne(top1, old1)));
  let sum0 = v128.load(panel, SUM), sum1 = v128.load(panel, SUM + 16);
  if (rose) {
    v128.store(panel, top0, TOP);
    v128.store(panel, top1, TOP + 16);
    const shrink0 = exp2Once(f32x4.sub(old0, top0), table), shrink1 = exp2Once(f32x4.sub(old1, top1), table);
    v128.store(panel, shrink0, SHRINK);
    v128.store(panel, shrink1, SHRINK + 16);
    sum0 = f32x4.mul(sum0, shrink0);
    sum1 = f32x4.mul(sum1, shrink1);
    v128.store(panel, sum0, SUM);
    v128.store(panel, sum1, SUM + 16);
  } else {
    v128.store(panel, f32x4.splat(1), SHRINK);
    v128.store(panel, f32x4.splat(1), SHRINK + 16);
  }
  weighLoop(s, end, panel, table);
  return rose;
}

function weighLoop(s: usize, end: usize, panel: usize, table: usize): void {
  const top0 = v128.load(panel, TOP), top1 = v128.load(panel, TOP + 16);
  let sum0 = v128.load(panel, SUM), sum1 = v128.load(panel, SUM + 16);
  const round = v128.load(table);
  const p5 = v128.load(table, 16);
  const p4 = v128.load(table, 32);
  const p3 = v128.load(table, 48);
  const p2 = v128.load(table, 64);
  const p1 = v128.load(table, 80);
  const p0 = v128.load(table, 96);
  const least = v128.load(table, 112);
  for (; s < end; s += WIDTH) {
    const w0 = exp2(f32x4.sub(v128.load(s), top0), round, p5, p4, p3, p2, p1, p0, least);
    const w1 = exp2(f32x4.sub(v128.load(s, 16), top1), round, p5, p4, p3, p2, p1, p0, least);
    sum0 = f32x4.add(sum0, w0);
    sum1 = f32x4.add(sum1, w1);
    v128.store(s, w0);
    v128.store(s, w1, 16);
  }
  v128.store(panel, sum0, SUM);
  v128.store(panel, sum1, SUM + 16);
}

/** A panel [n][COLUMNS] times SHRINK. */
export function shrink(c: usize, n: i32, panel: usize): void {
  const x0 = v128.load(panel, SHRINK), x1 = v128.load(panel, SHRINK + 16);
  const x2 = WIDE ? v128.load(panel, SHRINK + 32) : x0;
  const x3 = WIDE ? v128.load(panel, SHRINK + 48) : x0;
  for (const end = c + <usize>n * WIDTH; c < end; c += WIDTH) {
    v128.store(c, f32x4.mul(v128.load(c), x0));
    v128.store(c, f32x4.mul(v128.load(c, 16), x1), 16);
    if (WIDE) v128.store(c, f32x4.mul(v128.load(c, 32), x2), 32);
    if (WIDE) v128.store(c, f32x4.mul(v128.load(c, 48), x3), 48);
  }
}

/**
 * The reverse pass: scores S [n][COLUMNS] become weights P = 2^(S - TOP), and their gradients dP become those of the
 * scores, P (dP - SUM).
 */
export function differentiate(s: usize, d: usize, n: i32, panel: usize, table: usize): void {
  differentiateStrip(s, d, n, panel, table);
  if (WIDE) differentiateStrip(s + 32, d + 32, n, panel + 32, table);
}

function differentiateStrip(s: usize, d: usize, n: i32, panel: usize, table: usize): void {
  const top0 = v128.load(panel, TOP), top1 = v128.load(panel, TOP + 16);
  const sum0 = v128.load(panel, SUM), sum1 = v128.load(panel, SUM + 16);
  const round = v128.load(table);
  const p5 = v128.load(table, 16);
  const p4 = v128.load(table, 32);
  const p3 = v128.load(table, 48);
  const p2 = v128.load(table, 64);
  const p1 = v128.load(table, 80);
  const p0 = v128.load(table, 96);
  const least = v128.load(table, 112);
  for (const end = s + <usize>n * WIDTH; s < end; s += WIDTH, d += WIDTH) {
    const w0 = exp2(f32x4.sub(v128.load(s), top0), round, p5, p4, p3, p2, p1, p0, least);
    const w1 = exp2(f32x4.sub(v128.load(s, 16), top1), round, p5, p4, p3, p2, p1, p0, least);
    v128.store(s, w0);
    v128.store(s, w1, 16);
    v128.store(d, f32x4.mul(w0, f32x4.sub(v128.load(d), sum0)));
    v128.store(d, f32x4.mul(w1, f32x4.sub(v128.load(d, 16), sum1)), 16);
  }
}
