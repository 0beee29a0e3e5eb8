// The end of the forward pass: panels of O^T become rows of the output; pieces of the keys are merged.
import { first, next, piecesOf, rowsOf } from "../../device/thread.as";
import { COLUMNS } from "../einsum/micro.as";
import { log4, madd } from "../simd.as";
import {
  V,
  batch,
  groups,
  keyPieces,
  lse,
  m,
  openSequence,
  out,
  part,
  remainder,
  rowAt,
  stick,
  t,
  terms,
  values,
  widthOf,
} from "./call.as";
import { lower4 } from "./panel.as";
import { MET, NONE, PANEL, SUM, TOP, exp2Once } from "./softmax.as";
import { addOwn, shareOut } from "./stick.as";
import { WIDTH, padRows } from "./tile.as";

const LN2: f32 = 0.6931471805599453;
/** Largest maximum of the pieces of the row that is being merged. */
let top: f32 = 0;

/** Logs of the summed exponentials from maxima and sums of powers of two. */
// @ts-ignore: decorator
@inline
function logSums(top: v128, sum: v128): v128 {
  const logs = madd(f32x4.splat(LN2), top, log4(sum));
  return v128.bitselect(logs, f32x4.splat(-Infinity), f32x4.gt(sum, f32x4.splat(0)));
}

/** Writes the finished rows of a piece. */
export function writePiece(b: i32, group: i32, row0: i32, rows: i32, state: usize, sums: usize, room: i32): void {
  for (let r = 0; r < rows; r += 4) {
    const panel = <usize>(r / COLUMNS), lane = <usize>(r % COLUMNS) << 2;
    const at = state + panel * PANEL + lane;
    const top = v128.load(at, TOP), sum = v128.load(at, SUM);
    const row = row0 + r, left = rows - r;
    if (lse) {
      const logs = stick ? sum : logSums(top, sum);
      store<f32>(rowAt(lse, 1, b, group, row), f32x4.extract_lane(logs, 0));
      if (left > 1) store<f32>(rowAt(lse, 1, b, group, row + 1), f32x4.extract_lane(logs, 1));
      if (left > 2) store<f32>(rowAt(lse, 1, b, group, row + 2), f32x4.extract_lane(logs, 2));
      if (left > 3) store<f32>(rowAt(lse, 1, b, group, row + 3), f32x4.extract_lane(logs, 3));
    }
    // No sum, no weights: 0 instead of 0 / 0.
    const factors = stick ? f32x4.splat(1) : v128.and(f32x4.div(f32x4.splat(1), sum), f32x4.gt(sum, f32x4.splat(0)));
    lowerRows(
      load<i32>(state + panel * PANEL, MET),
      sums + panel * <usize>room * WIDTH + lane,
      factors,
      rowAt(out, V, b, group, row),
      left > 1 ? rowAt(out, V, b, group, row + 1) : 0,
      left > 2 ? rowAt(out, V, b, group, row + 2) : 0,
      left > 3 ? rowAt(out, V, b, group, row + 3) : 0,
    );
    if (remainder)
      for (let i = 0; i < min(left, 4); i++) addOwn(b, group, row + i, load<f32>(at + (<usize>i << 2), SUM));
  }
}

/** Four lanes of a panel of O^T, times factors, as rows of all values; zeros where no key was met. */
function lowerRows(met: i32, from: usize, factors: v128, r0: usize, r1: usize, r2: usize, r3: usize): void {
  if (!met) {
    memory.fill(r0, 0, <usize>V << 2);
    if (r1) memory.fill(r1, 0, <usize>V << 2);
    if (r2) memory.fill(r2, 0, <usize>V << 2);
    if (r3) memory.fill(r3, 0, <usize>V << 2);
    return;
  }
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i);
    lower4(from, e, factors, r0, r1, r2, r3);
    from += <usize>padRows(e) * WIDTH;
    r0 += <usize>e << 2;
    if (r1) r1 += <usize>e << 2;
    if (r2) r2 += <usize>e << 2;
    if (r3) r3 += <usize>e << 2;
  }
}

// Where keys are split into pieces, a row of a piece leaves its maximum, its sum and V floats for `mergePieces`.

export function partRow(b: i32, group: i32, row: i32, keyPiece: i32): usize {
  return part + ((((<usize>((b * groups + group) * t * m + row)) * keyPieces + keyPiece) * (V + 2)) << 2);
}

export function keepPiece(
  b: i32,
  group: i32,
  row0: i32,
  rows: i32,
  keyPiece: i32,
  state: usize,
  sums: usize,
  room: i32,
): void {
  for (let r = 0; r < rows; r += 4) {
    const panel = <usize>(r / COLUMNS), lane = <usize>(r % COLUMNS) << 2;
    const left = rows - r, row = row0 + r;
    for (let i = 0; i < min(left, 4); i++) {
      const to = partRow(b, group, row + i, keyPiece);
      const at = state + panel * PANEL + lane + (<usize>i << 2);
      store<f32>(to, load<f32>(at, TOP));
      store<f32>(to, load<f32>(at, SUM), 4);
    }
    lowerRows(
      load<i32>(state + panel * PANEL, MET),
      sums + panel * <usize>room * WIDTH + lane,
      f32x4.splat(1),
      partRow(b, group, row, keyPiece) + 8,
      left > 1 ? partRow(b, group, row + 1, keyPiece) + 8 : 0,
      left > 2 ? partRow(b, group, row + 2, keyPiece) + 8 : 0,
      left > 3 ? partRow(b, group, row + 3, keyPiece) + 8 : 0,
    );
  }
}

/** Factors of the `keyPieces` pieces of a row, in place of their maxima; returns the sum under the largest, `top`. */
function mergeSums(from: usize, stride: usize, table: usize): f32 {
  top = NONE;
  for (let p = 0; p < keyPieces; p++) top = max(top, load<f32>(from + <usize>p * stride));
  let sum: f32 = 0;
  for (let p = 0; p < keyPieces; p++) {
    const at = from + <usize>p * stride;
    const factor = f32x4.extract_lane(exp2Once(f32x4.splat(load<f32>(at) - top), table), 0);
    sum += factor * load<f32>(at, 4);
    store<f32>(at, factor);
  }
  return sum;
}

/** Sums the pieces of every row, in the order of the keys. */
export function mergePieces(table: usize): void {
  const all = batch * groups * t * m, each = rowsOf(keyPieces * V), pieces = piecesOf(all, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let i = piece * each, end = min(all, i + each); i < end; i++) mergeRow(i, table);
}

export function mergeRow(i: i32, table: usize): void {
    const rows = t * m;
    const group = (i / rows) % groups, b = i / (rows * groups), row = i % rows;
    const from = partRow(b, group, row, 0), stride = <usize>(V + 2) << 2;
    // The maxima give way to the factors.
    const sum = stick ? shareOut(from, stride, keyPieces) : mergeSums(from, stride, table);
    if (lse) {
      const log = stick ? f32x4.splat(sum) : logSums(f32x4.splat(top), f32x4.splat(sum));
      store<f32>(rowAt(lse, 1, b, group, row), f32x4.extract_lane(log, 0));
    }
    const inverse: f32 = stick ? 1 : sum > 0 ? 1 / sum : 0;
    const to = rowAt(out, V, b, group, row);
    let c: usize = 0;
    for (const end = (<usize>V << 2) & ~15; c < end; c += 16) {
      let o = f32x4.splat(0), at = from;
      for (let p = 0; p < keyPieces; p++, at += stride) o = madd(v128.load_splat<f32>(at), v128.load(at + c, 8), o);
      v128.store(to + c, f32x4.mul(o, f32x4.splat(inverse)));
    }
    for (; c < <usize>V << 2; c += 4) {
      let o: f32 = 0, at = from;
      for (let p = 0; p < keyPieces; p++, at += stride) o += load<f32>(at) * load<f32>(at + c, 8);
      store<f32>(to + c, o * inverse);
    }
    openSequence(b);
    if (remainder) addOwn(b, group, row, sum);
}
