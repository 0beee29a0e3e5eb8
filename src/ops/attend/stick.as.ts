// Weights of stick-breaking, the counterpart of softmax.as.ts. With u = 2^-|z|, sigmoid(z) and 1 - sigmoid(z) are 1 /
// (1 + u) and u / (1 + u), the other way round where z < 0. Neither is found by subtraction, so that the product of
// many of the latter, which is what keys have left of the stick, is as exact as the sum of their logs would be, and
// wants one exponential instead of three. Keys are met from the newest back.
import { COLUMNS } from "../einsum/micro.as";
import { loadPart, madd, nmadd, storePart } from "../simd.as";
import { V, blockRow, few, groups, groupsOf, lse, m, oldest, openBlock, out, rowAt, s, t, terms } from "./call.as";
import { values, widthOf } from "./call.as";
import { PANEL, SUM, TOP, exp2, exp2Once } from "./softmax.as";
import { WIDTH } from "./tile.as";

/** In a panel: what is left of each stick; in the reverse pass also sum(g * out) less what newer keys had of it. */
export const LEFT: usize = SUM;
export const REST: usize = TOP;

/** Whether no query of the panels of `rows` rows has anything left for older keys. */
export function spent(panel: usize, rows: i32): bool {
  let left = f32x4.splat(0);
  for (; rows > 0; rows -= COLUMNS, panel += PANEL)
    for (let i: usize = 0; i < WIDTH; i += 16) left = v128.or(left, v128.load(panel + i, LEFT));
  return !v128.any_true(left);
}

/** Scores [n][COLUMNS] become weights, the panel's LEFT follows. */
export function breakPanel(s: usize, n: i32, panel: usize, table: usize): void {
  breakStrip(s, n, panel, table);
  if (WIDE) breakStrip(s + 32, n, panel + 32, table);
}

function breakStrip(s: usize, n: i32, panel: usize, table: usize): void {
  let left0 = v128.load(panel, LEFT), left1 = v128.load(panel, LEFT + 16);
  const round = v128.load(table);
  const p5 = v128.load(table, 16);
  const p4 = v128.load(table, 32);
  const p3 = v128.load(table, 48);
  const p2 = v128.load(table, 64);
  const p1 = v128.load(table, 80);
  const one = v128.load(table, 96);
  const least = v128.load(table, 112);
  const nothing = v128.load(table, 128);
  for (let at = s + <usize>n * WIDTH - WIDTH; at >= s; at -= WIDTH) {
    const z0 = v128.load(at), z1 = v128.load(at, 16);
    const x0 = f32x4.neg(f32x4.abs(z0)), x1 = f32x4.neg(f32x4.abs(z1));
    const u0 = exp2(x0, round, p5, p4, p3, p2, p1, one, least);
    const u1 = exp2(x1, round, p5, p4, p3, p2, p1, one, least);
    const more0 = f32x4.div(one, f32x4.add(one, u0)), more1 = f32x4.div(one, f32x4.add(one, u1));
    const less0 = f32x4.mul(u0, more0), less1 = f32x4.mul(u1, more1);
    // Where z < 0 (where x is z) the two change places.
    const swap0 = v128.and(v128.xor(more0, less0), f32x4.eq(x0, z0));
    const swap1 = v128.and(v128.xor(more1, less1), f32x4.eq(x1, z1));
    v128.store(at, f32x4.mul(left0, v128.xor(more0, swap0)));
    v128.store(at, f32x4.mul(left1, v128.xor(more1, swap1)), 16);
    left0 = f32x4.mul(left0, v128.xor(less0, swap0));
    left1 = f32x4.mul(left1, v128.xor(less1, swap1));
    left0 = v128.and(left0, f32x4.lt(nothing, left0));
    left1 = v128.and(left1, f32x4.lt(nothing, left1));
  }
  v128.store(panel, left0, LEFT);
  v128.store(panel, left1, LEFT + 16);
}

/**
 * The reverse pass: scores S [n][COLUMNS] become weights P, and their gradients dP become those of the scores,
 * G - sigmoid(S) REST with G = P dP. REST is what G of the key itself, of older ones and of the remainder come to,
 * found by subtraction from sum(g * out): where little is left of the stick that is rounding, which no small weight
 * would damp.
 */
export function differentiateStick(s: usize, d: usize, n: i32, panel: usize, table: usize): void {
  differentiateStrip(s, d, n, panel, table);
  if (WIDE) differentiateStrip(s + 32, d + 32, n, panel + 32, table);
}

function differentiateStrip(s: usize, d: usize, n: i32, panel: usize, table: usize): void {
  let left0 = v128.load(panel, LEFT), left1 = v128.load(panel, LEFT + 16);
  let rest0 = v128.load(panel, REST), rest1 = v128.load(panel, REST + 16);
  const round = v128.load(table);
  const p5 = v128.load(table, 16);
  const p4 = v128.load(table, 32);
  const p3 = v128.load(table, 48);
  const p2 = v128.load(table, 64);
  const p1 = v128.load(table, 80);
  const one = v128.load(table, 96);
  const least = v128.load(table, 112);
  const nothing = v128.load(table, 128);
  const little = v128.load(table, 144);
  d += <usize>n * WIDTH - WIDTH;
  for (let at = s + <usize>n * WIDTH - WIDTH; at >= s; at -= WIDTH, d -= WIDTH) {
    const z0 = v128.load(at), z1 = v128.load(at, 16);
    const x0 = f32x4.neg(f32x4.abs(z0)), x1 = f32x4.neg(f32x4.abs(z1));
    const u0 = exp2(x0, round, p5, p4, p3, p2, p1, one, least);
    const u1 = exp2(x1, round, p5, p4, p3, p2, p1, one, least);
    const more0 = f32x4.div(one, f32x4.add(one, u0)), more1 = f32x4.div(one, f32x4.add(one, u1));
    const less0 = f32x4.mul(u0, more0), less1 = f32x4.mul(u1, more1);
    const swap0 = v128.and(v128.xor(more0, less0), f32x4.eq(x0, z0));
    const swap1 = v128.and(v128.xor(more1, less1), f32x4.eq(x1, z1));
    const sigmoid0 = v128.xor(more0, swap0), sigmoid1 = v128.xor(more1, swap1);
    const w0 = f32x4.mul(left0, sigmoid0), w1 = f32x4.mul(left1, sigmoid1);
    v128.store(at, w0);
    v128.store(at, w1, 16);
    const g0 = f32x4.mul(w0, v128.load(d)), g1 = f32x4.mul(w1, v128.load(d, 16));
    v128.store(d, nmadd(sigmoid0, v128.and(rest0, f32x4.lt(little, left0)), g0));
    v128.store(d, nmadd(sigmoid1, v128.and(rest1, f32x4.lt(little, left1)), g1), 16);
    rest0 = f32x4.sub(rest0, g0);
    rest1 = f32x4.sub(rest1, g1);
    left0 = f32x4.mul(left0, v128.xor(less0, swap0));
    left1 = f32x4.mul(left1, v128.xor(less1, swap1));
    left0 = v128.and(left0, f32x4.lt(nothing, left0));
    left1 = v128.and(left1, f32x4.lt(nothing, left1));
  }
  v128.store(panel, left0, LEFT);
  v128.store(panel, left1, LEFT + 16);
  v128.store(panel, rest0, REST);
  v128.store(panel, rest1, REST + 16);
}

/** Scores of one row, from `s` to `end` in fours, become weights; what is left of its stick, at `left`, follows. */
export function breakRow(s: usize, end: usize, left: usize, table: usize): void {
  const one = f32x4.splat(1), nothing = v128.load(table, 128);
  let rest = v128.load_splat<f32>(left);
  for (let at = end - 16; at >= s; at -= 16) {
    const z = v128.load(at), x = f32x4.neg(f32x4.abs(z)), u = exp2Once(x, table);
    const more = f32x4.div(one, f32x4.add(one, u)), less = f32x4.mul(u, more);
    const swap = v128.and(v128.xor(more, less), f32x4.eq(x, z));
    // Products over each key and the newer ones of the four, which stand to its right.
    let y = v128.xor(less, swap);
    y = f32x4.mul(y, v128.shuffle<f32>(y, one, 1, 2, 3, 4));
    y = f32x4.mul(y, v128.shuffle<f32>(y, one, 2, 3, 4, 5));
    const newer = f32x4.mul(rest, v128.shuffle<f32>(y, one, 1, 2, 3, 4));
    v128.store(at, f32x4.mul(newer, v128.xor(more, swap)));
    rest = f32x4.mul(rest, v128.shuffle<f32>(y, y, 0, 0, 0, 0));
    rest = v128.and(rest, f32x4.lt(nothing, rest));
  }
  store<f32>(left, f32x4.extract_lane(rest, 0));
}

/**
 * Factors on the results of a row's pieces of keys, `stride` bytes apart, each of which began with a whole stick and
 * says after its factor what it left: what the newer pieces left. Returns what is left in the end.
 */
export function shareOut(pieces: usize, stride: usize, n: i32): f32 {
  let left: f32 = 1;
  for (let p = n - 1; p >= 0; p--) {
    const at = pieces + <usize>p * stride;
    store<f32>(at, left);
    left *= load<f32>(at, 4);
  }
  return left;
}

/** Adds `left` times a row's own value to its output; nothing where it stands before the first visible key. */
export function addOwn(b: i32, group: i32, row: i32, left: f32): void {
  const own = row / m + s - t;
  if (own < oldest) return;
  openBlock(b, group, own, 1);
  const w = f32x4.splat(left);
  let to = rowAt(out, V, b, group, row);
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i), head = few ? (group * groupsOf(i)) / groups : 0;
    const v = blockRow(i) + (<usize>(head * e) << 2);
    for (let c = 0; c < e; c += 4) {
      const at = to + (<usize>c << 2);
      storePart(at, e - c, madd(w, loadPart(v + (<usize>c << 2), e - c, 0), loadPart(at, e - c, 0)));
    }
    to += <usize>e << 2;
  }
}

/** Adds what the rows of a panel have left in the end to the weights of their own values, in a block of `n` keys. */
export function giveOwn(b: i32, group: i32, first: i32, last: i32, key: i32, n: i32, weights: usize): void {
  for (let row = first; row <= last; row++) {
    const own = row / m + s - t, j = own - key;
    if (j < 0 || j >= n || own < oldest) continue;
    const at = weights + <usize>j * WIDTH + (<usize>(row - first) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(rowAt(lse, 1, b, group, row)));
  }
}
