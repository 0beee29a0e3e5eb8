// The indexer's scores, and the keys chosen by them. A few queries are scored together against COLUMNS keys at a time, lifted
// so that each key has a lane; what a query keeps of a key is one word, which orders as its score does (choose.as.ts).
import { address, first, next, real, scratch, shared, whole } from "../../device/thread.as";
import { lift4 } from "../attend/panel.as";
import { WIDTH, padRows, sixes, tileRows } from "../attend/tile.as";
import { COLUMNS } from "../einsum/micro.as";
import { madd } from "../simd.as";
import { choose } from "./choose.as";
import { PART } from "./size";
import * as slot from "./slot";

let q: usize = 0;
let weights: usize = 0;
let heads: i32 = 0;
let width: i32 = 0;
let scale: f32 = 0;
// Where this thread keeps what: a panel of keys [width][COLUMNS], products [heads][COLUMNS], words [queries][s].
let panel: usize = 0;
let products: usize = 0;
let words: usize = 0;

export function select(args: usize, thread: i32): void {
  q = address(args, slot.Q);
  weights = address(args, slot.WEIGHTS);
  const t = whole(args, slot.T), s = whole(args, slot.S), count = whole(args, slot.COUNT), perPiece = whole(args, slot.TOGETHER);
  heads = whole(args, slot.HEADS);
  width = whole(args, slot.WIDTH);
  scale = real(args, slot.SCALE);
  words = scratch(thread);
  panel = shared() + <usize>thread * PART;
  products = panel + <usize>width * WIDTH;
  const bins = products + <usize>padRows(heads) * WIDTH;
  const room = (<usize>(s + COLUMNS - 1) & ~(COLUMNS - 1)) << 2;
  const perSequence = (t + perPiece - 1) / perPiece;
  const pieces = whole(args, slot.BATCH) * perSequence;
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    // The last queries see most keys: they go first.
    const b = piece % whole(args, slot.BATCH), start = (perSequence - 1 - piece / whole(args, slot.BATCH)) * perPiece;
    const end = min(start + perPiece, t);
    const keys = address(args, slot.K) + ((<usize>b * s * width) << 2);
    scoreKeys(b * t + start, end - start, keys, whole(args, slot.CAUSAL) ? min(s, max(0, end + s - t)) : s, room);
    for (let i = start; i < end; i++) {
      const row = <usize>b * t + i;
      const n = whole(args, slot.CAUSAL) ? min(s, max(0, i + 1 + s - t)) : s;
      const to = address(args, slot.ROWS) + ((row * count) << 2);
      const lacking = choose(words + <usize>(i - start) * room, n, count, bins, to);
      store<f32>(address(args, slot.MISSING) + (row << 2), <f32>lacking);
    }
  }
}

/** Words of the first `n` keys for `queries` queries from row `row` on, `room` bytes apart. */
function scoreKeys(row: i32, queries: i32, keys: usize, n: i32, room: usize): void {
  const step = <usize>width << 2, last = keys + <usize>(n - 1) * step;
  for (let key = 0; key < n; key += COLUMNS) {
    for (let lane = 0; lane < COLUMNS; lane += 4) {
      const k = keys + <usize>(key + lane) * step;
      const k1 = min(k + step, last), k2 = min(k + 2 * step, last), k3 = min(k + 3 * step, last);
      lift4(min(k, last), k1, k2, k3, width, panel + (<usize>lane << 2), WIDTH, 1);
    }
    for (let i = 0; i < queries; i++) {
      const at = <usize>(row + i) * heads;
      multiply(q + at * step, step);
      const to = words + <usize>i * room + (<usize>key << 2);
      weigh(products, weights + (at << 2), to);
      if (WIDE) weigh(products + 32, weights + (at << 2), to + 32);
    }
  }
}

/** Products of all heads of a query with the panel. */
function multiply(from: usize, step: usize): void {
  const six = sixes(heads), last = from + <usize>(heads - 1) * step;
  for (let j = 0; j < heads; ) {
    const height = j < six ? 6 : 4;
    tileRows(height, width, from + <usize>j * step, step, last, panel, products + <usize>j * WIDTH, 0);
    j += height;
  }
}

/** Words of eight keys: sums over heads of weight times relu(scale product). */
function weigh(from: usize, w: usize, to: usize): void {
  let a = f32x4.splat(0), b = f32x4.splat(0);
  const zero = f32x4.splat(0), by = f32x4.splat(scale);
  for (const end = from + <usize>heads * WIDTH; from < end; from += WIDTH, w += 4) {
    const x = v128.load_splat<f32>(w);
    a = madd(x, f32x4.pmax(zero, f32x4.mul(by, v128.load(from))), a);
    b = madd(x, f32x4.pmax(zero, f32x4.mul(by, v128.load(from, 16))), b);
  }
  v128.store(to, word(a));
  v128.store(to, word(b), 16);
}

/** Whole numbers that order as the floats do: those of negative ones run the other way. Adding 0 makes -0 into 0. */
// @ts-ignore: decorator
@inline
function word(x: v128): v128 {
  const bits = f32x4.add(x, f32x4.splat(0));
  return v128.xor(bits, i32x4.shr_u(i32x4.shr_s(bits, 31), 1));
}
