// Contractions of many rows of activations with a packed weight: as `product` of einsum, except that a piece of the weight
// becomes float32 where it is packed for the tiles, and nowhere else.
import { address, cutAt, cutsOf, first, next, piecesOf, scratch, stride, whole } from "../../device/thread.as";
import { keepRows, multiply, roundUp } from "../einsum/block.as";
import { DEPTH, HEIGHT, NARROW } from "../einsum/size";
import { COLUMNS, ROWS } from "../einsum/micro.as";
import { spread } from "./spread.as";

/** Fewest rows of a weight that are a piece. */
const NARROWEST: i32 = 32;

/** Arguments as `packedDots`, then the rows of activations that a thread keeps packed. Pieces are rows of the weight. */
export function packedProduct(args: usize, thread: i32): void {
  const strip = whole(args, 17);
  const strips = piecesOf(whole(args, 8), strip);
  const cuts = cutsOf(whole(args, 7), NARROW, NARROWEST);
  const all = whole(args, 6) * strips * cuts;
  let ready = -1;
  for (let t = first(all); t < all; t = next()) {
    const at = t / cuts;
    piece(args, at / strips, (at % strips) * strip, t % cuts, at != ready, scratch(thread));
    ready = at;
  }
}

function piece(args: usize, group: i32, row: i32, cut: i32, fresh: bool, space: usize): void {
  const packed = space + 1024;
  let kept = packed + 4 * NARROW * DEPTH;
  const width = whole(args, 4), inner = whole(args, 7);
  const am = stride(args, 9), ak = stride(args, 11), cm = stride(args, 12), cn = stride(args, 14);
  const m = min(whole(args, 17), whole(args, 8) - row);
  const j = cutAt(inner, NARROW, NARROWEST, cut), columns = cutAt(inner, NARROW, NARROWEST, cut + 1) - j;
  const panel = group * ((inner + 3) >> 2) + (j >> 2);
  const c = address(args, 0) + <usize>row * cm + <usize>group * stride(args, 13) + <usize>j * cn;
  if (fresh) keepRows(kept, address(args, 1) + <usize>row * am + <usize>group * stride(args, 10), m, width, DEPTH, am, ak);
  for (let p = 0; p < width; p += DEPTH) {
    const deep = min(DEPTH, width - p);
    unpackColumns(args, packed, panel, columns, p, deep);
    for (let i = 0; i < m; i += HEIGHT) {
      const at = kept + (<usize>(i * deep) << 2);
      multiply(min(HEIGHT, m - i), columns, deep, at, packed, c + <usize>i * cm, cm, cn, whole(args, 15) | p, space);
    }
    kept += <usize>(deep * roundUp(m, ROWS)) << 2;
  }
}

/** Columns `from` to `from + deep` of the rows of panels from `panel` on, as `packColumns` lays them; zeros beyond `rows`. */
function unpackColumns(args: usize, to: usize, panel: i32, rows: i32, from: i32, deep: i32): void {
  const bytes = <usize>whole(args, 5);
  let x = address(args, 2) + <usize>panel * bytes;
  for (let j = 0; j < rows; j += COLUMNS, to += <usize>(deep * COLUMNS) << 2)
    for (let lane = 0; lane < COLUMNS; lane += 4, x += bytes) {
      const out = to + (<usize>lane << 2);
      if (j + lane < rows) spread(whole(args, 3), x, whole(args, 4), from, deep, out, COLUMNS << 2);
      else for (let i = 0; i < deep; i++) v128.store(out + (<usize>(i * COLUMNS) << 2), i32x4.splat(0));
    }
}
