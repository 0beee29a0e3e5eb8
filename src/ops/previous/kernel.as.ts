// Rows moved by one place within each sequence.
import { address, share, whole } from "../../device/thread.as";

/** Arguments: out x edge (0 for zeros), rows, t, width, from (-1: each row is the one before, 1: the one after). */
export function shiftRows(args: usize, thread: i32, threads: i32): void {
  const edge = address(args, 2);
  const rows = whole(args, 3);
  const t = whole(args, 4);
  const step = <usize>whole(args, 5) << 2;
  const before = whole(args, 6) < 0;
  const to = share(rows, thread + 1, threads);
  for (let row = share(rows, thread, threads); row < to; ) {
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
