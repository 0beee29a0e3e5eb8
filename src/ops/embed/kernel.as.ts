// Rows of a table by number, and the sum of gradients back into them.
import { address, share, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";

/** Arguments: out table ids (int32), number of ids, width. */
export function gatherRows(args: usize, thread: i32, threads: i32): void {
  const step = <usize>whole(args, 4) << 2;
  const n = whole(args, 3);
  const to = share(n, thread + 1, threads);
  for (let i = share(n, thread, threads); i < to; i++) {
    const id = load<i32>(address(args, 2) + (<usize>i << 2));
    memory.copy(address(args, 0) + <usize>i * step, address(args, 1) + <usize>id * step, step);
  }
}

/** Arguments: out g ids (int32), number of ids, width. Each thread adds some columns of all rows, in order. */
export function scatterRows(args: usize, thread: i32, threads: i32): void {
  const width = whole(args, 4);
  const step = <usize>width << 2;
  const n = whole(args, 3);
  const from = share(width, thread, threads);
  const columns = share(width, thread + 1, threads) - from;
  const out = address(args, 0) + (<usize>from << 2);
  let g = address(args, 1) + (<usize>from << 2);
  for (let i = 0; i < n; i++, g += step) {
    const id = load<i32>(address(args, 2) + (<usize>i << 2));
    addRow(columns, out + <usize>id * step, g);
  }
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
