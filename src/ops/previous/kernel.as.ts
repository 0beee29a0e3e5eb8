// Rows moved by one place within each sequence.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import * as slot from "./slot";

export function shiftRows(args: usize, _thread: i32): void {
  const edge = address(args, slot.EDGE);
  const rows = whole(args, slot.ROWS);
  const t = whole(args, slot.T);
  const step = <usize>whole(args, slot.WIDTH) << 2;
  const before = whole(args, slot.FROM) < 0;
  const each = rowsOf(whole(args, slot.WIDTH));
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    shiftRun(piece * each, min(rows, (piece + 1) * each), t, step, before, edge, args);
}

function shiftRun(row: i32, to: i32, t: i32, step: usize, before: bool, edge: usize, args: usize): void {
  while (row < to) {
    const out = address(args, slot.OUT) + <usize>row * step;
    const place = row % t;
    if (place == (before ? 0 : t - 1)) {
      if (edge) memory.copy(out, edge, step);
      else memory.fill(out, 0, step);
      row++;
      continue;
    }
    // All rows up to the next at an edge.
    const n = min(to - row, (before ? t : t - 1) - place);
    const x = address(args, slot.X) + <usize>(before ? row - 1 : row + 1) * step;
    memory.copy(out, x, <usize>n * step);
    row += n;
  }
}
