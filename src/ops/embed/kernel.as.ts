// Rows of a table by number, and the sum of gradients back into them.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";
import * as slot from "./slot";

/** What the row of an index is where it has none: zeros, or no number. */
export const ZEROS: i32 = -1;
const NONE: i32 = -2;
/** Columns of a piece of scatterRows: whole cache lines, few enough for narrow models to have some pieces. */
const COLUMNS: i32 = 64;

export function gatherRows(args: usize, _thread: i32): void {
  const width = whole(args, slot.WIDTH);
  const step = <usize>width << 2;
  const n = whole(args, slot.COUNT);
  const each = rowsOf(width);
  const pieces = piecesOf(n, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let i = piece * each, to = min(n, i + each); i < to; i++) {
      const row = rowOf(args, i);
      const out = address(args, slot.OUT) + <usize>i * step;
      if (row >= 0) memory.copy(out, address(args, slot.FROM) + <usize>row * step, step);
      else fillRow(width, out, row == ZEROS ? 0 : NaN);
    }
}

/** A piece adds some columns of all rows, in order. */
export function scatterRows(args: usize, _thread: i32): void {
  const width = whole(args, slot.WIDTH);
  const step = <usize>width << 2;
  const n = whole(args, slot.COUNT);
  const pieces = piecesOf(width, COLUMNS);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const skip = <usize>(piece * COLUMNS) << 2;
    const columns = min(COLUMNS, width - piece * COLUMNS);
    let g = address(args, slot.FROM) + skip;
    for (let i = 0; i < n; i++, g += step) {
      const row = rowOf(args, i);
      if (row >= 0) addRow(columns, address(args, slot.OUT) + skip + <usize>row * step, g);
    }
  }
}

/** Row of index i within the whole table. */
// @ts-ignore: decorator
@inline
export function rowOf(args: usize, i: i32): i32 {
  const at = address(args, slot.INDICES) + (<usize>i << 2);
  const rows = whole(args, slot.ROWS);
  const above = (i / whole(args, slot.PER_PART)) * rows;
  if (!whole(args, slot.KIND)) return above + load<i32>(at);
  const index = load<f32>(at);
  if (index < 0) return ZEROS;
  return index < <f32>rows ? above + <i32>index : NONE;
}

function fillRow(n: i32, out: usize, x: f32): void {
  for (; n > 0; n--, out += 4) store<f32>(out, x);
}

function addRow(n: i32, out: usize, x: usize): void {
  for (; n >= 8; n -= 8, x += 32, out += 32) {
    const s = f32x4.add(v128.load(out), v128.load(x));
    const t = f32x4.add(v128.load(out, 16), v128.load(x, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
  }
  for (; n > 0; n -= 4, x += 16, out += 16) storePart(out, n, f32x4.add(loadPart(out, n, 0), loadPart(x, n, 0)));
}
