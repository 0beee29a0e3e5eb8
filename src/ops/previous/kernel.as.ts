// Rows moved by one place within each sequence.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";

/** Arguments: out x edge (0 for zeros), rows, t, width, from (-1: each row is the one before, 1: the one after). */
export function shiftRows(args: usize, _thread: i32): void {
  const edge = address(args, 2);
  const rows = whole(args, 3);
  const t = whole(args, 4);
  const step = <usize>whole(args, 5) << 2;
  const before = whole(args, 6) < 0;
  const each = rowsOf(whole(args, 5));
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    shiftRun(piece * each, min(rows, (piece + 1) * each), t, step, before, edge, args);
}

function shiftRun(row: i32, to: i32, t: i32, step: usize, before: bool, edge: usize, args: usize): void {
  while (row < to) {
    const out = address(args, 0) + <usize>row * step;
    const place = row % t;
    if (place == (before ? 0 : t - 1)) {
      if (edge) memory.copy(out, edge, step);
      else memory.fill(out, 0, step);
      row++;
      continue;
    }
    // All rows up to the next at an edge.
    const n = min(to - row, (before ? t : t - 1) - place);
    const x = address(args, 1) + <usize>(before ? row - 1 : row + 1) * step;
    memory.copy(out, x, <usize>n * step);
    row += n;
  }
}
