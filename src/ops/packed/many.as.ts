// Contractions of many rows of activations with a packed weight: as `product` of einsum, except that a piece of the weight
// becomes float32 where it is packed for the tiles, and nowhere else.
import { address, first, next, scratch, stride, whole } from "../../device/thread.as";
import { DEPTH, HEIGHT, multiply, WIDTH } from "../einsum/block.as";
import { COLUMNS } from "../einsum/micro.as";
import { packRows } from "../einsum/pack.as";
import { spread } from "./spread.as";

/** Arguments as `packedDots`, then rows of activations and rows of a group per piece. */
export function packedProduct(args: usize, thread: i32): void {
  const inner = whole(args, 7);
  const m = whole(args, 8);
  const tall = whole(args, 17);
  const wide = whole(args, 18);
  const across = (inner + wide - 1) / wide;
  const pieces = ((m + tall - 1) / tall) * across;
  const all = whole(args, 6) * pieces;
  for (let t = first(all); t < all; t = next()) {
    const group = t / pieces;
    const down = (t - group * pieces) / across;
    const i = down * tall;
    const j = (t - group * pieces - down * across) * wide;
    piece(args, group, i, min(tall, m - i), j, min(wide, inner - j), scratch(thread));
  }
}

function piece(args: usize, group: i32, row: i32, m: i32, above: i32, n: i32, space: usize): void {
  const packedA = space + 1024;
  const packedB = packedA + 4 * HEIGHT * DEPTH;
  const width = whole(args, 4);
  const each = (whole(args, 7) + 3) >> 2;
  const a = address(args, 1) + <usize>row * stride(args, 9) + <usize>group * stride(args, 10);
  const c = address(args, 0) + <usize>row * stride(args, 12) + <usize>group * stride(args, 13);
  for (let j = 0; j < n; j += WIDTH) {
    const columns = min(WIDTH, n - j);
    const panel = group * each + ((above + j) >> 2);
    for (let p = 0; p < width; p += DEPTH) {
      const deep = min(DEPTH, width - p);
      unpackColumns(args, packedB, panel, columns, p, deep);
      for (let i = 0; i < m; i += HEIGHT) {
        const rows = min(HEIGHT, m - i);
        packRows(packedA, a + <usize>i * stride(args, 9) + <usize>p * stride(args, 11), rows, deep, stride(args, 9), stride(args, 11));
        const to = c + <usize>i * stride(args, 12) + <usize>(above + j) * stride(args, 14);
        multiply(rows, columns, deep, packedA, packedB, to, stride(args, 12), stride(args, 14), whole(args, 15) | p, space);
      }
    }
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
