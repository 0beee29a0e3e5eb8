// C[i, j, m, n] = (or +=) sum_k A[i, j, m, k] B[i, j, k, n] with any strides; i and j are batch axes.
// Structure after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS.

import { address, barrier, scratch, shared, stride, ticket, whole } from "../../device/thread.as";
import { HEIGHT, depth, multiply, product, roundUp } from "./block.as";
import { COLUMNS, ROWS } from "./micro.as";
import { packColumns, packRows } from "./pack.as";

/** Most columns of B that the shared memory holds at DEPTH. */
const SHARED_COLUMNS: i32 = 2048;

/**
 * Large products, one after the other over the batch: all threads pack B together, then take blocks of rows.
 * Arguments: c a b, m n k, am ak bk bn cm cn (elements), two batch axes as (size, a, b, c), add.
 */
export function contract(args: usize, thread: i32, threads: i32): void {
  const m = whole(args, 3);
  const n = whole(args, 4);
  const k = whole(args, 5);
  const am = stride(args, 6);
  const ak = stride(args, 7);
  const bk = stride(args, 8);
  const bn = stride(args, 9);
  const cm = stride(args, 10);
  const cn = stride(args, 11);
  const batch = whole(args, 12) * whole(args, 16);
  const add = whole(args, 20);
  const spare = scratch(thread);
  const packedA = spare + 1024;
  const packedB = shared();
  const step = depth(k);
  // Rows per piece: small enough that all threads stay busy to the end, large enough to reuse each panel of B.
  const pieces = max((m + HEIGHT - 1) / HEIGHT, threads == 1 ? 1 : min(2 * threads, (m + 47) / 48));
  const height = roundUp((m + pieces - 1) / pieces, ROWS);
  for (let at = 0; at < batch; at++) {
    const a = operand(args, at, 1);
    const b = operand(args, at, 2);
    const c = operand(args, at, 3);
    for (let j = 0; j < n; j += SHARED_COLUMNS) {
      const columns = min(SHARED_COLUMNS, n - j);
      for (let p = 0; p < k; p += step) {
        const deep = min(step, k - p);
        const group = packGroup(columns, threads);
        for (let t = ticket() * group; t < columns; t = ticket() * group)
          packColumns(
            packedB + (<usize>(t * deep) << 2), b + <usize>(j + t) * bn + <usize>p * bk,
            min(group, columns - t), deep, bn, bk,
          );
        barrier(threads);
        for (let i = ticket() * height; i < m; i = ticket() * height) {
          const rows = min(height, m - i);
          packRows(packedA, a + <usize>i * am + <usize>p * ak, rows, deep, am, ak);
          multiply(
            rows, columns, deep, packedA, packedB, c + <usize>i * cm + <usize>j * cn, cm, cn, add | p, spare,
          );
        }
        barrier(threads);
      }
    }
  }
}

/** Columns of B that a thread packs at a time. */
function packGroup(columns: i32, threads: i32): i32 {
  return max(COLUMNS, roundUp((columns + 4 * threads - 1) / (4 * threads), COLUMNS));
}

/** Address of operand `which` (0 c, 1 a, 2 b in `args`; here 1 a, 2 b, 3 c) at flat batch position `at`. */
function operand(args: usize, at: i32, which: i32): usize {
  const inner = whole(args, 16);
  const i = at / inner;
  const j = at - i * inner;
  return address(args, which % 3) + <usize>i * stride(args, 12 + which) + <usize>j * stride(args, 16 + which);
}

/**
 * Many small products, or few rows: each thread takes pieces of (batch, columns) and packs for itself.
 * Arguments as `contract`, then the columns per piece.
 */
export function contractEach(args: usize, thread: i32, threads: i32): void {
  const n = whole(args, 4);
  const cn = stride(args, 11);
  const bn = stride(args, 9);
  const batch = whole(args, 12) * whole(args, 16);
  const wide = whole(args, 21);
  const across = (n + wide - 1) / wide;
  for (let t = ticket(); t < batch * across; t = ticket()) {
    const at = t / across;
    const j = (t - at * across) * wide;
    product(
      whole(args, 3), min(wide, n - j), whole(args, 5),
      operand(args, at, 1), stride(args, 6), stride(args, 7),
      operand(args, at, 2) + <usize>j * bn, stride(args, 8), bn,
      operand(args, at, 3) + <usize>j * cn, stride(args, 10), cn,
      whole(args, 20), scratch(thread),
    );
  }
}
