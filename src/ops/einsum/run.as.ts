// At most 4 rows of A, and rows of B that lie whole one after the other (a plain weight). Pieces are runs of B's rows, each read from
// front to back, so that the processor fetches ahead; cut by columns, each thread would read short ends of rows.
import { address, first, next, scratch, shared, stride, whole } from "../../device/thread.as";
import * as slot from "./slot";
import { addRows, gatherRow, scatterRow } from "./stream.as";

/** Sums of each run [run, m, n], in the memory that all threads share. `RUN` is the rows of one. */
export function streamRuns(args: usize, thread: i32): void {
  const m = whole(args, slot.M), n = whole(args, slot.N), k = whole(args, slot.K), run = whole(args, slot.RUN);
  const ak = stride(args, slot.AK), bk = stride(args, slot.BK);
  const x = scratch(thread), runs = (k + run - 1) / run;
  for (let t = first(runs); t < runs; t = next()) {
    const p = t * run, length = min(run, k - p);
    for (let i = 0; i < m; i++)
      gatherRow(x + (<usize>(i * length) << 2), address(args, slot.A) + <usize>i * stride(args, slot.AM) + <usize>p * ak, ak, length);
    addRows(m, n, length, x, address(args, slot.B) + <usize>p * bk, bk, shared() + (<usize>(t * m * n) << 2));
  }
}

/** After `streamRuns`: C is the sum of all runs in their order, or that is added to it. */
export function streamMerge(args: usize, thread: i32): void {
  const m = whole(args, slot.M), n = whole(args, slot.N), k = whole(args, slot.K), run = whole(args, slot.RUN);
  const all = m * n, runs = (k + run - 1) / run;
  for (let t = first(1); t < 1; t = next()) {
    const y = shared();
    for (let r = 1; r < runs; r++) addTo(y, y + (<usize>(r * all) << 2), all);
    for (let i = 0; i < m; i++)
      scatterRow(address(args, slot.C) + <usize>i * stride(args, slot.CM), stride(args, slot.CN), y + (<usize>(i * n) << 2), n, whole(args, slot.ADD));
  }
}

function addTo(to: usize, from: usize, n: i32): void {
  for (; n >= 4; n -= 4, to += 16, from += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
  for (; n > 0; n--, to += 4, from += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
}
