// C[i, j, m, n] = (or +=) sum_k A[i, j, m, k] B[i, j, k, n] with any strides; i and j are batch axes.
// Structure after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS.

import { address, first, next, scratch, stride, whole } from "../../device/thread.as";
import { product } from "./block.as";

/** Address of operand `which` (0 c, 1 a, 2 b in `args`; here 1 a, 2 b, 3 c) at flat batch position `at`. */
function operand(args: usize, at: i32, which: i32): usize {
  const inner = whole(args, 16);
  const i = at / inner;
  const j = at - i * inner;
  return address(args, which % 3) + <usize>i * stride(args, 12 + which) + <usize>j * stride(args, 16 + which);
}

/**
 * Threads take pieces of (batch, rows, columns) and pack for themselves: an operand that two cores pack together costs more
 * to fetch from the other's cache than to pack twice (LOG.md).
 * Arguments: c a b, m n k, am ak bk bn cm cn (elements), two batch axes as (size, a, b, c), add, rows and columns per piece.
 */
export function contract(args: usize, thread: i32): void {
  const m = whole(args, 3);
  const n = whole(args, 4);
  const am = stride(args, 6);
  const bn = stride(args, 9);
  const cm = stride(args, 10);
  const cn = stride(args, 11);
  const tall = whole(args, 21);
  const wide = whole(args, 22);
  const across = (n + wide - 1) / wide;
  const pieces = ((m + tall - 1) / tall) * across;
  const all = whole(args, 12) * whole(args, 16) * pieces;
  for (let t = first(all); t < all; t = next()) {
    const at = t / pieces;
    const down = (t - at * pieces) / across;
    const i = down * tall;
    const j = (t - at * pieces - down * across) * wide;
    product(
      min(tall, m - i), min(wide, n - j), whole(args, 5),
      operand(args, at, 1) + <usize>i * am, am, stride(args, 7),
      operand(args, at, 2) + <usize>j * bn, stride(args, 8), bn,
      operand(args, at, 3) + <usize>i * cm + <usize>j * cn, cm, cn,
      whole(args, 20), scratch(thread),
    );
  }
}
