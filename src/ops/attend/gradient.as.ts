// The end of the reverse pass: gradients leave their panels; those that several pieces have a part in are summed.
import { first, next, piecesOf } from "../../device/thread.as";
import { COLUMNS } from "../einsum/micro.as";
import { loadPart, madd, storePart, sum4 } from "../simd.as";
import {
  V,
  batch,
  copiesOf,
  gout,
  groups,
  groupsOf,
  h,
  keyAt,
  keyCopies,
  keyGradient,
  keyStride,
  lse,
  out,
  queryGradient,
  rowAt,
  rowPieces,
  s,
  scale,
  sinkGradient,
  sinkOf,
  t,
  terms,
  values,
  widthOf,
} from "./call.as";
import { lower4 } from "./panel.as";
import { LOG2E, MET, PANEL, exp2Once } from "./softmax.as";
import { WIDTH, padRows } from "./tile.as";

/** Key and value gradients of a block, to where they belong or to this piece's copy. */
export function writeKeys(b: i32, group: i32, rowPiece: i32, key: i32, n: i32, from: usize): void {
  for (let i = 0; i < terms + values; i++) {
    const e = widthOf(i);
    const panel = <usize>padRows(n) * WIDTH;
    let base = keyGradient(i);
    if (base) {
      if (copiesOf(i) > 1) {
        const copy = (group % (groups / groupsOf(i))) * rowPieces + rowPiece;
        base = keyCopies(i) + ((<usize>copy * batch * s * groupsOf(i) * e) << 2);
      }
      const factor = f32x4.splat(i < terms ? scale : 1);
      let to = keyAt(base, i, b, group, key), at = from;
      for (let c = e; c > 0; c -= COLUMNS, to += WIDTH, at += panel) lowerAcross(at, n, c, factor, to, keyStride(i));
    }
    from += <usize>((e + COLUMNS - 1) / COLUMNS) * panel;
  }
}

/** A panel [n][COLUMNS], or its first `width` columns, times a factor, as rows `stride` bytes apart. */
function lowerAcross(from: usize, n: i32, width: i32, factor: v128, to: usize, stride: usize): void {
  if (width < COLUMNS) {
    for (; n > 0; n--, from += WIDTH, to += stride)
      for (let c = 0; c < width; c += 4) {
        const at = <usize>c << 2;
        storePart(to + at, width - c, f32x4.mul(factor, v128.load(from + at)));
      }
    return;
  }
  for (; n > 0; n--, from += WIDTH, to += stride) {
    v128.store(to, f32x4.mul(factor, v128.load(from)));
    v128.store(to, f32x4.mul(factor, v128.load(from, 16)), 16);
    if (WIDE) v128.store(to, f32x4.mul(factor, v128.load(from, 32)), 32);
    if (WIDE) v128.store(to, f32x4.mul(factor, v128.load(from, 48)), 48);
  }
}

/** Query gradients of a piece from panels of dQ^T, `room` floats each. */
export function writeQueries(b: i32, group: i32, row0: i32, rows: i32, state: usize, grads: usize, room: i32): void {
  const factor = f32x4.splat(scale);
  for (let r = 0; r < rows; r += 4) {
    const panel = <usize>(r / COLUMNS);
    const met = load<i32>(state + panel * PANEL, MET);
    let from = grads + panel * <usize>room * WIDTH + (<usize>(r % COLUMNS) << 2);
    for (let i = 0; i < terms; i++) {
      const e = widthOf(i), base = queryGradient(i), row = row0 + r, left = rows - r;
      if (base && met)
        lower4(
          from,
          e,
          factor,
          rowAt(base, e, b, group, row),
          left > 1 ? rowAt(base, e, b, group, row + 1) : 0,
          left > 2 ? rowAt(base, e, b, group, row + 2) : 0,
          left > 3 ? rowAt(base, e, b, group, row + 3) : 0,
        );
      else if (base)
        for (let j = 0; j < min(left, 4); j++) memory.fill(rowAt(base, e, b, group, row + j), 0, <usize>e << 2);
      from += <usize>padRows(e) * WIDTH;
    }
  }
}

/** Adds up the copies of gradients that several pieces share, in the order of the pieces. */
export function sumCopies(): void {
  const part = 8192;
  let all = 0;
  for (let i = 0; i < terms + values; i++)
    if (copiesOf(i) > 1 && keyGradient(i)) all += piecesOf(batch * s * groupsOf(i) * widthOf(i), part);
  let done = 0;
  let piece = first(all);
  for (let i = 0; i < terms + values; i++) {
    if (piece >= all) return;
    const copies = copiesOf(i);
    if (copies == 1 || !keyGradient(i)) continue;
    const size = batch * s * groupsOf(i) * widthOf(i);
    const copies0 = keyCopies(i), to = keyGradient(i);
    const pieces = piecesOf(size, part);
    for (; piece < done + pieces; piece = next()) {
      const begin = (piece - done) * part, end = min(begin + part, size);
      for (let c = begin; c < end; c += 4) {
        // The copies end in three floats to spare.
        let from = copies0 + (<usize>c << 2);
        let sum = v128.load(from);
        for (let k = 1; k < copies; k++) {
          from += <usize>size << 2;
          sum = f32x4.add(sum, v128.load(from));
        }
        if (end - c >= 4) v128.store(to + (<usize>c << 2), sum);
        else storePart(to + (<usize>c << 2), end - c, sum);
      }
    }
    done += pieces;
  }
}

/** Each head's sink is a key whose value is 0: the sum over rows of -exp(sink - lse) sum(g * out). */
export function sumSinks(table: usize): void {
  for (let head = first(h); head < h; head = next()) {
    const sink = sinkOf(head);
    let sum: f64 = 0;
    for (let row = head; row < batch * t * h; row += h) {
      const at = <usize>row << 2, log = LOG2E * load<f32>(lse + at);
      const weight = f32x4.extract_lane(exp2Once(f32x4.splat(sink - log), table), 0);
      sum -= weight * dot(gout + at * V, out + at * V, V);
    }
    store<f32>(sinkGradient + (<usize>head << 2), <f32>sum);
  }
}

export function dot(x: usize, y: usize, n: i32): f32 {
  let sum = f32x4.splat(0);
  for (; n >= 4; n -= 4, x += 16, y += 16) sum = madd(v128.load(x), v128.load(y), sum);
  return sum4(madd(loadPart(x, n, 0), loadPart(y, n, 0), sum));
}
