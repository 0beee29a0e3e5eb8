// Rows of a packed weight as float32: a run of them, or those with given numbers.
import { address, first, next, piecesOf, rowsOf, scratch, whole } from "../../device/thread.as";
import { rowOf, ZEROS } from "../embed/kernel.as";
import * as slot from "../embed/slot";
import { STRIP } from "./size";
import * as slab from "./slab";
import { spread } from "./spread.as";

export function unpack(args: usize, thread: i32): void {
  const each = rowsOf(whole(args, slab.COLUMNS) << 2);
  const pieces = piecesOf(whole(args, slab.COUNT), each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    unpackRun(piece * each, min(whole(args, slab.COUNT), (piece + 1) * each), scratch(thread), args);
}

function unpackRun(i: i32, to: i32, space: usize, args: usize): void {
  const format = whole(args, slab.FORMAT);
  const width = whole(args, slab.COLUMNS);
  const bytes = <usize>whole(args, slab.PANEL_BYTES);
  const above = whole(args, slab.FIRST);
  const inner = whole(args, slab.INNER);
  const each = (inner + 3) >> 2;
  const start = rowAt(above, each, inner);
  const step = <usize>width << 2;
  for (; i < to; i++) {
    const row = rowAt(above + i, each, inner);
    const rows = min(4, inner - ((above + i) % each << 2));
    const panel = address(args, slab.FROM) + <usize>i * bytes;
    for (let from = 0; from < width; from += STRIP) {
      const n = min(STRIP, width - from);
      spread(format, panel, width, from, n, space, 16);
      placeRows(address(args, slab.OUT) + <usize>(row - start) * step + (<usize>from << 2), step, space, n, rows);
    }
  }
}

/** Number of the first row of a panel, rows that fill up a group not counted. */
// @ts-ignore: decorator
@inline
function rowAt(panel: i32, each: i32, inner: i32): i32 {
  const group = panel / each;
  return group * inner + ((panel - group * each) << 2);
}

/** n columns of four lanes to n numbers in each of `rows` rows. */
function placeRows(to: usize, step: usize, from: usize, n: i32, rows: i32): void {
  for (; rows == 4 && n >= 4; n -= 4, from += 64, to += 16) {
    const x0 = v128.load(from);
    const x1 = v128.load(from, 16);
    const x2 = v128.load(from, 32);
    const x3 = v128.load(from, 48);
    const y0 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
    const y1 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
    const y2 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
    const y3 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f64>(y0, y1, 0, 2));
    v128.store(to + step, v128.shuffle<f64>(y0, y1, 1, 3));
    v128.store(to + (step << 1), v128.shuffle<f64>(y2, y3, 0, 2));
    v128.store(to + step * 3, v128.shuffle<f64>(y2, y3, 1, 3));
  }
  for (; n > 0; n--, from += 16, to += 4)
    for (let i = 0; i < rows; i++) store<f32>(to + <usize>i * step, load<f32>(from + (<usize>i << 2)));
}

export function gatherPacked(args: usize, thread: i32): void {
  const n = whole(args, slot.COUNT);
  const each = rowsOf(whole(args, slot.WIDTH));
  const pieces = piecesOf(n, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    gatherRun(piece * each, min(n, (piece + 1) * each), scratch(thread), args);
}

function gatherRun(i: i32, to: i32, space: usize, args: usize): void {
  const width = whole(args, slot.WIDTH);
  for (; i < to; i++) {
    const row = rowOf(args, i);
    let out = address(args, slot.OUT) + (<usize>i * <usize>width << 2);
    const panel = address(args, slot.FROM) + <usize>(row >> 2) * <usize>whole(args, slot.PANEL_BYTES);
    for (let from = 0; from < width; from += STRIP) {
      const columns = min(STRIP, width - from);
      if (row >= 0) spread(whole(args, slot.FORMAT), panel, width, from, columns, space, 16);
      const lane = space + (<usize>(row & 3) << 2);
      for (let j = 0; j < columns; j++, out += 4)
        store<f32>(out, row >= 0 ? load<f32>(lane + (<usize>j << 4)) : row == ZEROS ? <f32>0 : <f32>NaN);
    }
  }
}
