// C[i, j, m, n] = (or +=) sum_k A[i, j, m, k] B[i, j, k, n] with any strides; i and j are batch axes.
// Structure after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS.

import { address, cutAt, cutsOf, first, next, piecesOf, scratch, stride, whole } from "../../device/thread.as";
import { depth, keepColumns, keepRows, product, productOfColumns, productOfRows } from "./block.as";
import { DEPTH, HEIGHT, NARROW } from "./size";
import * as slot from "./slot";

/** Fewest rows and columns of a piece: whole tiles of every build. */
const LOWEST: i32 = 24;
const NARROWEST: i32 = 32;

/** Address of an operand at flat batch position `at`; slots of its address and of its steps along the batch axes. */
// @ts-ignore: decorator
@inline
function operand(args: usize, at: i32, base: i32, outer: i32, inner: i32): usize {
  const size = whole(args, slot.INNER);
  const i = at / size;
  const j = at - i * size;
  return address(args, base) + <usize>i * stride(args, outer) + <usize>j * stride(args, inner);
}

/**
 * Pieces are rows of A times a strip of B, or the other way about: columns of B times a strip of A. A thread lays out
 * the strip in panels for itself and keeps it from piece to piece: one that two cores lay out together costs more to fetch from
 * the other's cache than to lay out twice (LOG.md), and one laid out for every piece costs 5 to 15 %.
 */
export function contract(args: usize, thread: i32): void {
  const columns = whole(args, slot.BY_COLUMNS);
  const strip = whole(args, slot.STRIP);
  const strips = strip ? piecesOf(whole(args, columns ? slot.M : slot.N), strip) : 1;
  const cuts = columns ? cutsOf(whole(args, slot.N), NARROW, NARROWEST) : cutsOf(whole(args, slot.M), HEIGHT, LOWEST);
  const all = whole(args, slot.OUTER) * whole(args, slot.INNER) * strips * cuts;
  let ready = -1;
  for (let t = first(all); t < all; t = next()) {
    const at = t / cuts;
    piece(args, columns, at / strips, (at % strips) * strip, t % cuts, at != ready, scratch(thread));
    ready = at;
  }
}

/** Piece `cut` of the strip that begins at `from`, at flat batch position `at`; lays out the strip if it is `fresh`. */
function piece(args: usize, columns: i32, at: i32, from: i32, cut: i32, fresh: bool, space: usize): void {
  const m = whole(args, slot.M), n = whole(args, slot.N), k = whole(args, slot.K);
  const am = stride(args, slot.AM), ak = stride(args, slot.AK), bk = stride(args, slot.BK), bn = stride(args, slot.BN);
  const cm = stride(args, slot.CM), cn = stride(args, slot.CN);
  const a = operand(args, at, slot.A, slot.OUTER_A, slot.INNER_A);
  const b = operand(args, at, slot.B, slot.OUTER_B, slot.INNER_B);
  const c = operand(args, at, slot.C, slot.OUTER_C, slot.INNER_C);
  const kept = space + 1024 + 4 * NARROW * DEPTH;
  const add = whole(args, slot.ADD);
  if (columns) {
    const j = cutAt(n, NARROW, NARROWEST, cut), width = cutAt(n, NARROW, NARROWEST, cut + 1) - j;
    const right = b + <usize>j * bn, to = c + <usize>from * cm + <usize>j * cn;
    const rows = min(whole(args, slot.STRIP), m - from);
    if (fresh && rows) keepRows(kept, a + <usize>from * am, rows, k, depth(k), am, ak);
    if (rows) productOfColumns(rows, width, k, kept, right, bk, bn, to, cm, cn, add, space);
    else product(m, width, k, a, am, ak, right, bk, bn, to, cm, cn, add, space);
  } else {
    const i = cutAt(m, HEIGHT, LOWEST, cut), rows = cutAt(m, HEIGHT, LOWEST, cut + 1) - i;
    const left = a + <usize>i * am, to = c + <usize>i * cm + <usize>from * cn;
    const width = min(whole(args, slot.STRIP), n - from);
    if (fresh && width) keepColumns(kept, b + <usize>from * bn, width, k, depth(k), bk, bn);
    if (width) productOfRows(rows, width, k, left, am, ak, kept, to, cm, cn, add, space);
    else product(rows, n, k, left, am, ak, b, bk, bn, to, cm, cn, add, space);
  }
}
