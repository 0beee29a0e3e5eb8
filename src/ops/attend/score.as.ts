// What the forward and the reverse pass share: queries laid out in panels, scores of a panel, keys hidden from it.
import { COLUMNS } from "../einsum/micro.as";
import { E, choice, chosenBy, firstSeen, lastSeen, queryOf, rowAt, terms, widthOf } from "./call.as";
import { lift4 } from "./panel.as";
import { hide } from "./softmax.as";
import { WIDTH, tile } from "./tile.as";

/** Columns contracted at a time: a panel of as many rows stays in the first-level cache. */
export const DEPTH: i32 = 256;

/** Rows `[rows][terms]` times `factor`, lifted into panels `[terms][COLUMNS]`; lanes left over repeat the last row. */
export function layQueries(b: i32, group: i32, row0: i32, rows: i32, factor: f32, to: usize): void {
  const last = row0 + rows - 1;
  for (let r = 0; r < rows; r += COLUMNS) {
    let at = to;
    for (let i = 0; i < terms; i++) {
      const e = widthOf(i), q = queryOf(i);
      for (let lane = 0; lane < COLUMNS; lane += 4) {
        const row = row0 + r + lane;
        lift4(
          rowAt(q, e, b, group, min(row, last)),
          rowAt(q, e, b, group, min(row + 1, last)),
          rowAt(q, e, b, group, min(row + 2, last)),
          rowAt(q, e, b, group, min(row + 3, last)),
          e,
          at + (<usize>lane << 2),
          WIDTH,
          factor,
        );
      }
      at += <usize>e * WIDTH;
    }
    to += <usize>E * WIDTH;
  }
}

/** Rows `begin` to `end` of `to` [keys][COLUMNS]: keys in panels [.][width][rows] times a panel [width][COLUMNS]. */
export function contract(begin: i32, end: i32, six: i32, width: i32, keys: usize, panel: usize, to: usize): void {
  for (let k = 0; k < width; k += DEPTH) {
    const depth = min(DEPTH, width - k);
    for (let j = begin; j < end; ) {
      const height = j < six ? 6 : 4;
      const step = <usize>height << 2;
      const a = keys + ((<usize>(j * width)) << 2) + <usize>k * step;
      tile(height, depth, a, step, panel + <usize>k * WIDTH, to + <usize>j * WIDTH, k);
      j += height;
    }
  }
}

/** Hides those of keys `key + begin` to `key + end - 1` that some row from `first` to `last` does not see. */
export function maskPanel(first: i32, last: i32, key: i32, begin: i32, end: i32, s: usize, panel: usize): void {
  const early = min(firstSeen(last) - key, end);
  if (begin < early) hide(s + <usize>begin * WIDTH, early - begin, key + begin, panel);
  const late = max(max(lastSeen(first) + 1 - key, begin), early);
  if (late < end) hide(s + <usize>late * WIDTH, end - late, key + late, panel);
  if (choice) hideUnchosen(first, last, key + begin, end - begin, s + <usize>begin * WIDTH);
}

/** Hides those of the `n` keys from `key` on that a row has not chosen. */
function hideUnchosen(first: i32, last: i32, key: i32, n: i32, s: usize): void {
  for (let lane = 0; lane < COLUMNS; lane++) {
    const list = chosenBy(min(first + lane, last));
    let low = 0, high = choice;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (<i32>load<f32>(list + (<usize>middle << 2)) < key) low = middle + 1;
      else high = middle;
    }
    let at = s + (<usize>lane << 2);
    for (let j = key; j < key + n; j++, at += WIDTH) {
      if (low < choice && <i32>load<f32>(list + (<usize>low << 2)) == j) low++;
      else store<f32>(at, -Infinity);
    }
  }
}
