// Contractions of few rows of activations with a packed weight, which is read once for all of them.
import { address, first, next, scratch, stride, whole } from "../../device/thread.as";
import { gatherRow } from "../einsum/stream.as";
import { madd, sum4 } from "../simd.as";
import { activate, activatedBytes } from "./activate.as";
import { dot } from "./dot.as";
import { begin, changes, contractionOf, dotsOf, groupOf, panelOf, panelsOf, rowsAt } from "./list.as";
import { ACTIVATED, STRIP, SUMS } from "./size";
import * as slot from "./slot";
import { spread } from "./spread.as";

/** For each contraction, out[m, group, row] = sum over columns of a[m, group, column] w[group, row, column]. */
export function packedDots(args: usize, thread: i32): void {
  const x = scratch(thread), sums = x + ACTIVATED - SUMS, all = begin(args);
  for (let t = first(all); t < all; t = next()) {
    const one = contractionOf(t), group = groupOf(t), from = panelOf(t), panels = panelsOf(one);
    const format = whole(one, slot.FORMAT), width = whole(one, slot.COLUMNS), m = whole(one, slot.ROWS);
    const bytes = <usize>whole(one, slot.PANEL_BYTES), step = activatedBytes(width), inner = whole(one, slot.INNER);
    const dots = dotsOf(one);
    if (changes(group)) activateRows(dots, one, rowsAt(group), x);
    const to = min(from + whole(one, slot.RUN), panels);
    let panel = address(one, slot.WEIGHT) + <usize>(group * panels + from) * bytes;
    let c = address(one, slot.OUT) + <usize>group * stride(one, slot.OUT_GROUP);
    c += <usize>(from << 2) * stride(one, slot.OUT_ELEMENT);
    for (let p = from; p < to; p++) {
      const rows = min(4, inner - (p << 2));
      for (let i = 0; i < m; i++) {
        const four = dot(dots, format, panel, width, x + <usize>i * step, sums), at = c + <usize>i * stride(one, slot.OUT_ROW);
        put(four, at, stride(one, slot.OUT_ELEMENT), rows, whole(one, slot.ADD));
      }
      panel += bytes;
      c += stride(one, slot.OUT_ELEMENT) << 2;
    }
  }
}

function activateRows(dots: bool, args: usize, a: usize, to: usize): void {
  const format = whole(args, slot.FORMAT), width = whole(args, slot.COLUMNS), step = activatedBytes(width);
  let x = to;
  for (let i = whole(args, slot.ROWS); i > 0; i--, x += step, a += stride(args, slot.X_ROW))
    activate(dots, format, x, a, stride(args, slot.X_ELEMENT), width, to + ACTIVATED);
}

/** The first `n` lanes, to numbers `step` bytes apart. */
export function put(x: v128, to: usize, step: usize, n: i32, add: i32): void {
  if (n == 4 && step == 4 && !add) {
    v128.store(to, x);
    return;
  }
  one(f32x4.extract_lane(x, 0), to, add);
  if (n > 1) one(f32x4.extract_lane(x, 1), to + step, add);
  if (n > 2) one(f32x4.extract_lane(x, 2), to + (step << 1), add);
  if (n > 3) one(f32x4.extract_lane(x, 3), to + step * 3, add);
}

// @ts-ignore: decorator
@inline
function one(x: f32, to: usize, add: i32): void {
  store<f32>(to, add ? load<f32>(to) + x : x);
}

/** out[m, group, column] = sum over rows of a[m, group, row] w[group, row, column]; lanes sum every fourth row. */
export function packedSums(args: usize, thread: i32): void {
  const format = whole(args, slot.FORMAT);
  const width = whole(args, slot.COLUMNS);
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  const groups = whole(args, slot.GROUPS);
  const inner = whole(args, slot.INNER);
  const m = whole(args, slot.ROWS);
  const each = panelsOf(args);
  const strips = (width + STRIP - 1) / STRIP;
  const cn = stride(args, slot.OUT_ELEMENT);
  const weights = scratch(thread);
  const sums = weights + 16 * STRIP;
  const x = sums + <usize>m * (16 * STRIP);
  const step = <usize>each << 4;
  for (let t = first(groups * strips); t < groups * strips; t = next()) {
    const group = t / strips;
    const from = (t - group * strips) * STRIP;
    const n = min(STRIP, width - from);
    memory.fill(sums, 0, <usize>m * (16 * STRIP));
    for (let i = 0; i < m; i++) {
      const a = address(args, slot.X) + <usize>i * stride(args, slot.X_ROW) + <usize>group * stride(args, slot.X_GROUP);
      const to = x + <usize>i * step;
      // The rows that fill the last panel count nothing.
      v128.store(to + step - 16, i32x4.splat(0));
      gatherRow(to, a, stride(args, slot.X_ELEMENT), inner);
    }
    let panel = address(args, slot.WEIGHT) + <usize>(group * each) * bytes;
    for (let p = 0; p < each; p++, panel += bytes) {
      spread(format, panel, width, from, n, weights, 16);
      for (let i = 0; i < m; i++)
        addScaled(sums + <usize>i * (16 * STRIP), weights, v128.load(x + <usize>i * step + (<usize>p << 4)), n);
    }
    for (let i = 0; i < m; i++) {
      let c = address(args, slot.OUT) + <usize>i * stride(args, slot.OUT_ROW) + <usize>from * cn;
      c += <usize>group * stride(args, slot.OUT_GROUP);
      const sum = sums + <usize>i * (16 * STRIP);
      for (let j = 0; j < n; j++, c += cn) one(sum4(v128.load(sum + (<usize>j << 4))), c, whole(args, slot.ADD));
    }
  }
}

function addScaled(to: usize, w: usize, x: v128, n: i32): void {
  for (; n >= 2; n -= 2, to += 32, w += 32) {
    v128.store(to, madd(v128.load(w), x, v128.load(to)));
    v128.store(to, madd(v128.load(w, 16), x, v128.load(to, 16)), 16);
  }
  if (n > 0) v128.store(to, madd(v128.load(w), x, v128.load(to)));
}
