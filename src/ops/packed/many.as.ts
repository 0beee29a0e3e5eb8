// Contractions of many rows of activations with a packed weight: as `product` of einsum, except that a piece of the weight
// becomes float32 where it is laid out in panels for the tiles, and nowhere else.
import { address, cutAt, cutsOf, first, next, piecesOf, scratch, stride, whole } from "../../device/thread.as";
import { keepRows, multiply, roundUp } from "../einsum/block.as";
import { DEPTH, HEIGHT, NARROW } from "../einsum/size";
import { COLUMNS, ROWS } from "../einsum/micro.as";
import { spread } from "./spread.as";
import * as slot from "./slot";

/** Fewest rows of a weight that are a piece. */
const NARROWEST: i32 = 32;

/** Pieces are rows of the weight. */
export function packedProduct(args: usize, thread: i32): void {
  const strip = whole(args, slot.STRIP);
  const strips = piecesOf(whole(args, slot.ROWS), strip);
  const cuts = cutsOf(whole(args, slot.INNER), NARROW, NARROWEST);
  const all = whole(args, slot.GROUPS) * strips * cuts;
  let ready = -1;
  for (let t = first(all); t < all; t = next()) {
    const at = t / cuts;
    piece(args, at / strips, (at % strips) * strip, t % cuts, at != ready, scratch(thread));
    ready = at;
  }
}

function piece(args: usize, group: i32, row: i32, cut: i32, fresh: bool, space: usize): void {
  const laid = space + 1024;
  let kept = laid + 4 * NARROW * DEPTH;
  const width = whole(args, slot.COLUMNS), inner = whole(args, slot.INNER);
  const am = stride(args, slot.X_ROW), ak = stride(args, slot.X_ELEMENT);
  const cm = stride(args, slot.OUT_ROW), cn = stride(args, slot.OUT_ELEMENT);
  const m = min(whole(args, slot.STRIP), whole(args, slot.ROWS) - row);
  const j = cutAt(inner, NARROW, NARROWEST, cut), columns = cutAt(inner, NARROW, NARROWEST, cut + 1) - j;
  const panel = group * ((inner + 3) >> 2) + (j >> 2);
  const c = address(args, slot.OUT) + <usize>row * cm + <usize>group * stride(args, slot.OUT_GROUP) + <usize>j * cn;
  const x = address(args, slot.X) + <usize>row * am + <usize>group * stride(args, slot.X_GROUP);
  if (fresh) keepRows(kept, x, m, width, DEPTH, am, ak);
  for (let p = 0; p < width; p += DEPTH) {
    const deep = min(DEPTH, width - p);
    unpackColumns(args, laid, panel, columns, p, deep);
    for (let i = 0; i < m; i += HEIGHT) {
      const at = kept + (<usize>(i * deep) << 2);
      multiply(min(HEIGHT, m - i), columns, deep, at, laid, c + <usize>i * cm, cm, cn, whole(args, slot.ADD) | p, space);
    }
    kept += <usize>(deep * roundUp(m, ROWS)) << 2;
  }
}

/** Columns `from` to `from + deep` of the rows of panels from `panel` on, as `layColumns` lays them; zeros beyond `rows`. */
function unpackColumns(args: usize, to: usize, panel: i32, rows: i32, from: i32, deep: i32): void {
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  let x = address(args, slot.WEIGHT) + <usize>panel * bytes;
  for (let j = 0; j < rows; j += COLUMNS, to += <usize>(deep * COLUMNS) << 2)
    for (let lane = 0; lane < COLUMNS; lane += 4, x += bytes) {
      const out = to + (<usize>lane << 2);
      if (j + lane < rows) spread(whole(args, slot.FORMAT), x, whole(args, slot.COLUMNS), from, deep, out, COLUMNS << 2);
      else for (let i = 0; i < deep; i++) v128.store(out + (<usize>(i * COLUMNS) << 2), i32x4.splat(0));
    }
}
