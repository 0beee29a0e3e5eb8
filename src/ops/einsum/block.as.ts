// Products of blocks that lie in cache, as panels, and of whole small matrices; other ops (attention) build on these too.
import { COLUMNS, ROWS, tile } from "./micro.as";
import { layColumns, layRows } from "./panel.as";
import { DEPTH, HEIGHT, WIDTH } from "./size";

/** Bytes of scratch that `product` uses. */
export const PRODUCT_BYTES: usize = 4 * (HEIGHT * DEPTH + WIDTH * DEPTH + 256);

/** `n` rounded up to a multiple of `step`. */
// @ts-ignore: decorator
@inline
export function roundUp(n: i32, step: i32): i32 {
  return ((n + step - 1) / step) * step;
}

/** Length of the k blocks: all as equal as can be, none above DEPTH. */
export function depth(k: i32): i32 {
  const blocks = (k + DEPTH - 1) / DEPTH;
  return blocks > 1 ? (k + blocks - 1) / blocks : k;
}

/**
 * C[m, n] = (or += if `add`) A[m, k] times B[k, n], both in panels. Steps of C in bytes; fast where `column` is 4.
 * `spare`: 4 * ROWS * COLUMNS bytes.
 */
export function multiply(
  m: i32, n: i32, k: i32, a: usize, b: usize, c: usize, row: usize, column: usize, add: i32, spare: usize,
): void {
  const panelA = <usize>(k * ROWS) << 2;
  const panelB = <usize>(k * COLUMNS) << 2;
  for (let j = 0; j < n; j += COLUMNS) {
    const columns = min(COLUMNS, n - j);
    const whole = columns == COLUMNS && column == 4;
    let x = a;
    let y = c;
    for (let i = 0; i < m; i += ROWS) {
      if (whole && m - i >= ROWS) tile(k, x, b, y, row, add);
      else {
        tile(k, x, b, spare, COLUMNS << 2, 0);
        place(min(ROWS, m - i), columns, spare, y, row, column, add);
      }
      x += panelA;
      y += <usize>ROWS * row;
    }
    b += panelB;
    c += <usize>COLUMNS * column;
  }
}

/** Copies or adds the valid part of a tile to C. */
function place(m: i32, n: i32, from: usize, c: usize, row: usize, column: usize, add: i32): void {
  for (let i = 0; i < m; i++) {
    let y = c;
    for (let j = 0; j < n; j++) {
      const x = load<f32>(from + (<usize>j << 2));
      store<f32>(y, add ? load<f32>(y) + x : x);
      y += column;
    }
    from += COLUMNS << 2;
    c += row;
  }
}

/**
 * C[m, n] = (or += if `add`) A[m, k] B[k, n] on one thread, any steps (bytes). `space`: PRODUCT_BYTES of scratch.
 */
export function product(
  m: i32, n: i32, k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, bn: usize,
  c: usize, cm: usize, cn: usize, add: i32, space: usize,
): void {
  const panelsA = space + 1024;
  const panelsB = panelsA + 4 * HEIGHT * DEPTH;
  const step = depth(k);
  for (let j = 0; j < n; j += WIDTH) {
    const columns = min(WIDTH, n - j);
    for (let p = 0; p < k; p += step) {
      const deep = min(step, k - p);
      layColumns(panelsB, b + <usize>j * bn + <usize>p * bk, columns, deep, bn, bk);
      for (let i = 0; i < m; i += HEIGHT) {
        const rows = min(HEIGHT, m - i);
        layRows(panelsA, a + <usize>i * am + <usize>p * ak, rows, deep, am, ak);
        const to = c + <usize>i * cm + <usize>j * cn;
        multiply(rows, columns, deep, panelsA, panelsB, to, cm, cn, add | p, space);
      }
    }
  }
}

/** Lays out all blocks of `step` of the k axis of `rows` rows of A, one block after the other. */
export function keepRows(to: usize, a: usize, rows: i32, k: i32, step: i32, am: usize, ak: usize): void {
  for (let p = 0; p < k; p += step) {
    const deep = min(step, k - p);
    layRows(to, a + <usize>p * ak, rows, deep, am, ak);
    to += <usize>(deep * roundUp(rows, ROWS)) << 2;
  }
}

/** As `keepRows`, for `columns` columns of B. */
export function keepColumns(to: usize, b: usize, columns: i32, k: i32, step: i32, bk: usize, bn: usize): void {
  for (let p = 0; p < k; p += step) {
    const deep = min(step, k - p);
    layColumns(to, b + <usize>p * bk, columns, deep, bn, bk);
    to += <usize>(deep * roundUp(columns, COLUMNS)) << 2;
  }
}

/** As `product` for at most HEIGHT rows of A, with B as `keepColumns` left it at `kept`. */
export function productOfRows(
  m: i32, n: i32, k: i32, a: usize, am: usize, ak: usize, kept: usize, c: usize, cm: usize, cn: usize, add: i32, space: usize,
): void {
  const panels = space + 1024;
  const step = depth(k);
  for (let p = 0; p < k; p += step) {
    const deep = min(step, k - p);
    layRows(panels, a + <usize>p * ak, m, deep, am, ak);
    multiply(m, n, deep, panels, kept, c, cm, cn, add | p, space);
    kept += <usize>(deep * roundUp(n, COLUMNS)) << 2;
  }
}

/** As `product` for at most NARROW columns of B, with A as `keepRows` left it at `kept`. */
export function productOfColumns(
  m: i32, n: i32, k: i32, kept: usize, b: usize, bk: usize, bn: usize, c: usize, cm: usize, cn: usize, add: i32, space: usize,
): void {
  const panels = space + 1024;
  const step = depth(k);
  for (let p = 0; p < k; p += step) {
    const deep = min(step, k - p);
    layColumns(panels, b + <usize>p * bk, n, deep, bn, bk);
    for (let i = 0; i < m; i += HEIGHT) {
      const at = kept + (<usize>(i * deep) << 2);
      multiply(min(HEIGHT, m - i), n, deep, at, panels, c + <usize>i * cm, cm, cn, add | p, space);
    }
    kept += <usize>(deep * roundUp(m, ROWS)) << 2;
  }
}
