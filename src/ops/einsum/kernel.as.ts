// C[i, j, m, n] = (or +=) sum_k A[i, j, m, k] B[i, j, k, n] with any strides; i and j are batch axes.
// Structure after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS.

import { address, cutAt, cutsOf, first, next, piecesOf, scratch, stride, whole } from "../../device/thread.as";
import { depth, keepColumns, keepRows, product, productOfColumns, productOfRows } from "./block.as";
import { DEPTH, HEIGHT, NARROW } from "./size";

/** Fewest rows and columns of a piece: whole tiles of every build. */
const LOWEST: i32 = 24;
const NARROWEST: i32 = 32;

/** Address of operand `which` (0 c, 1 a, 2 b in `args`; here 1 a, 2 b, 3 c) at flat batch position `at`. */
function operand(args: usize, at: i32, which: i32): usize {
  const inner = whole(args, 16);
  const i = at / inner;
  const j = at - i * inner;
  return address(args, which % 3) + <usize>i * stride(args, 12 + which) + <usize>j * stride(args, 16 + which);
}

/**
 * Pieces are rows of A times a strip of B, or the other way about: columns of B times a strip of A. A thread packs the strip
 * for itself and keeps it from piece to piece: a strip that two cores pack together costs more to fetch from the other's cache
 * than to pack twice (LOG.md), and one packed for every piece costs 5 to 15 %.
 * Arguments: c a b, m n k, am ak bk bn cm cn (elements), two batch axes as (size, a, b, c), add, whether columns are cut, and
 * the columns of a strip of B or rows of a strip of A (0 where k is so long that none can be kept).
 */
export function contract(args: usize, thread: i32): void {
  const columns = whole(args, 21);
  const strip = whole(args, 22);
  const strips = strip ? piecesOf(whole(args, columns ? 3 : 4), strip) : 1;
  const cuts = columns ? cutsOf(whole(args, 4), NARROW, NARROWEST) : cutsOf(whole(args, 3), HEIGHT, LOWEST);
  const all = whole(args, 12) * whole(args, 16) * strips * cuts;
  let ready = -1;
  for (let t = first(all); t < all; t = next()) {
    const at = t / cuts;
    piece(args, columns, at / strips, (at % strips) * strip, t % cuts, at != ready, scratch(thread));
    ready = at;
  }
}

/** Piece `cut` of the strip that begins at `from`, at flat batch position `at`; packs the strip if it is `fresh`. */
function piece(args: usize, columns: i32, at: i32, from: i32, cut: i32, fresh: bool, space: usize): void {
  const m = whole(args, 3), n = whole(args, 4), k = whole(args, 5);
  const am = stride(args, 6), ak = stride(args, 7), bk = stride(args, 8), bn = stride(args, 9);
  const cm = stride(args, 10), cn = stride(args, 11);
  const a = operand(args, at, 1), b = operand(args, at, 2), c = operand(args, at, 3);
  const kept = space + 1024 + 4 * NARROW * DEPTH;
  const add = whole(args, 20);
  if (columns) {
    const j = cutAt(n, NARROW, NARROWEST, cut), width = cutAt(n, NARROW, NARROWEST, cut + 1) - j;
    const right = b + <usize>j * bn, to = c + <usize>from * cm + <usize>j * cn;
    const rows = min(whole(args, 22), m - from);
    if (fresh && rows) keepRows(kept, a + <usize>from * am, rows, k, depth(k), am, ak);
    if (rows) productOfColumns(rows, width, k, kept, right, bk, bn, to, cm, cn, add, space);
    else product(m, width, k, a, am, ak, right, bk, bn, to, cm, cn, add, space);
  } else {
    const i = cutAt(m, HEIGHT, LOWEST, cut), rows = cutAt(m, HEIGHT, LOWEST, cut + 1) - i;
    const left = a + <usize>i * am, to = c + <usize>i * cm + <usize>from * cn;
    const width = min(whole(args, 22), n - from);
    if (fresh && width) keepColumns(kept, b + <usize>from * bn, width, k, depth(k), bk, bn);
    if (width) productOfRows(rows, width, k, left, am, ak, kept, to, cm, cn, add, space);
    else product(rows, n, k, left, am, ak, b, bk, bn, to, cm, cn, add, space);
  }
}
