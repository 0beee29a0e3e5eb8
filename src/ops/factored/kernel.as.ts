// Attention over factored keys and values. As in attend, scores are computed transposed, S^T [keys][COLUMNS], with heads of one
// query in lanes: U^T = Bk Q^T reads the factors where they lie, the ranks of U^T are summed into S^T, weights are spread over
// the ranks of the values, and O^T += Bv^T P^T reads those where they lie. The call and the results are those of attend
// (call.as.ts, result.as.ts): one group of m = h heads, so that row i h + head is a head of query i.
import { address, first, next, scratch, whole } from "../../device/thread.as";
import {
  E,
  V,
  batch,
  block,
  firstSeen,
  h,
  keyPieces,
  keysPerPiece,
  lastSeen,
  open,
  openPanels,
  openSequence,
  rowPieces,
  rowsPerPiece,
  s,
  scale,
  t,
} from "../attend/call.as";
import { copyRows } from "../attend/panel.as";
import { layQueries } from "../attend/score.as";
import { keepPiece, writePiece } from "../attend/result.as";
import { LOG2E, MET, PANEL, TABLE, exponential, shrink, weigh } from "../attend/softmax.as";
import { WIDTH, padRows, sixes, tile, tileRows } from "../attend/tile.as";
import { COLUMNS } from "../einsum/micro.as";
import { liftHeads, spread, sumRanks } from "./rank.as";
import * as slot from "./slot";

let call: usize = 0;
let R: i32 = 0;
let P: i32 = 0;
// Where this thread keeps what; `room` rows of a panel of O^T.
let table: usize = 0;
let state: usize = 0;
let queries: usize = 0;
let sums: usize = 0;
let ak: usize = 0;
let av: usize = 0;
let products: usize = 0;
let scores: usize = 0;
let weights: usize = 0;
let values: usize = 0;
let room: i32 = 0;

/** attendFactored: see index.ts for shapes; arguments in slot.ts. */
export function attendFactored(args: usize, thread: i32): void {
  open(args);
  call = args;
  R = whole(args, slot.KEY_RANK);
  P = whole(args, slot.VALUE_RANK);
  room = padRows(V);
  const panels = <usize>((rowsPerPiece / h) * headPanels());
  table = scratch(thread);
  state = table + TABLE;
  queries = state + panels * PANEL;
  sums = queries + panels * <usize>E * WIDTH;
  ak = sums + panels * <usize>room * WIDTH;
  av = ak + <usize>(block * R) * WIDTH;
  products = av + <usize>(block * P) * WIDTH;
  scores = products + <usize>padRows(block * R) * WIDTH;
  weights = scores + <usize>block * WIDTH;
  values = weights + <usize>(block * P) * WIDTH;
  exponential(table);
  const pieces = batch * rowPieces * keyPieces;
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const b = piece % batch, rest = piece / batch;
    attendPiece(b, rowPieces - 1 - rest / keyPieces, rest % keyPieces);
  }
}

// @ts-ignore: decorator
@inline
function headPanels(): i32 {
  return (h + COLUMNS - 1) / COLUMNS;
}

/** Bytes from a token's row of factor i to the next; 0 where it is the same for all. */
// @ts-ignore: decorator
@inline
function stepOf(i: i32): usize {
  return <usize>whole(call, slot.FACTORS + i * slot.PER_FACTOR + slot.STEP) << 2;
}

/** Row of factor i (ak, bk, av, bv) for a token of sequence b. */
// @ts-ignore: decorator
@inline
function factorAt(i: i32, b: i32, token: i32): usize {
  return address(call, slot.FACTORS + i * slot.PER_FACTOR + slot.FACTOR) + <usize>(b * s + token) * stepOf(i);
}

function attendPiece(b: i32, rowPiece: i32, keyPiece: i32): void {
  openSequence(b);
  const row0 = rowPiece * rowsPerPiece, end = min(row0 + rowsPerPiece, t * h);
  const key0 = keyPiece * keysPerPiece, key1 = min(s, key0 + keysPerPiece);
  for (let row = row0, panel = 0; row < end; row += h)
    for (let head = 0; head < h; head += COLUMNS, panel++) {
      const heads = min(COLUMNS, h - head);
      openPanels(state + <usize>panel * PANEL, 0, row + head, heads, keyPiece);
      layQueries(b, 0, row + head, heads, LOG2E * scale, queries + <usize>(panel * E) * WIDTH);
    }
  const from = max(key0, firstSeen(row0)), to = min(key1, lastSeen(end - 1) + 1);
  for (let key = from; key < to; key += block) attendBlock(b, row0, end, key, min(block, to - key));
  for (let row = row0, panel = 0; row < end; row += h)
    for (let head = 0; head < h; head += COLUMNS, panel++) {
      const heads = min(COLUMNS, h - head);
      const at = state + <usize>panel * PANEL, o = sums + <usize>(panel * room) * WIDTH;
      if (keyPieces > 1) keepPiece(b, 0, row + head, heads, keyPiece, at, o, room);
      else writePiece(b, 0, row + head, heads, at, o, room);
    }
}

/** All queries of a piece against the `n` keys from `key` on. */
function attendBlock(b: i32, row0: i32, end: i32, key: i32, n: i32): void {
  if (V % 4) copyRows(factorAt(3, b, key), <usize>V << 2, (stepOf(3) ? n : 1) * P, V, values);
  const all = headPanels();
  for (let head = 0; head < h; head += COLUMNS) {
    liftHeads(factorAt(0, b, key), stepOf(0) ? n : 1, h, R, head, ak);
    liftHeads(factorAt(2, b, key), stepOf(2) ? n : 1, h, P, head, av);
    for (let row = row0, panel = head / COLUMNS; row < end; row += h, panel += all) {
      const from = max(firstSeen(row) - key, 0), to = min(lastSeen(row) + 1 - key, n);
      if (from < to) attendPanel(b, panel, key, n, from, to);
    }
  }
}

/** One panel against those of the `n` keys from `key` on that its query sees, `from` to `to - 1`. */
function attendPanel(b: i32, panel: i32, key: i32, n: i32, from: i32, to: i32): void {
  const seen = to - from, at = state + <usize>panel * PANEL, met = load<i32>(at, MET);
  multiply(factorAt(1, b, key + from), (stepOf(1) ? seen : 1) * R, queries + <usize>(panel * E) * WIDTH);
  const one = <usize>R * WIDTH, each = <usize>P * WIDTH;
  const stepA = stepOf(0) ? one : 0, stepV = stepOf(2) ? each : 0;
  sumRanks(seen, R, ak + <usize>from * stepA, stepA, products, stepOf(1) ? one : 0, scores);
  const o = sums + <usize>(panel * room) * WIDTH;
  if (weigh(scores, seen, at, table) && met) shrink(o, room, at);
  store<i32>(at, 1, MET);
  spread(seen, P, scores, av + <usize>from * stepV, stepV, weights, stepOf(3) ? each : 0);
  if (V % 4) addPanels(stepOf(3) ? n * P : P, stepOf(3) ? from * P : 0, stepOf(3) ? seen * P : P, o, met);
  else addInPlace(factorAt(3, b, key + from), stepOf(3) ? seen * P : P, o, met);
}

/** `rows` rows of width E, which lie one after the other, times a panel of queries. */
function multiply(from: usize, rows: i32, panel: usize): void {
  const six = sixes(rows), step = <usize>E << 2, last = from + <usize>(rows - 1) * step;
  for (let j = 0; j < rows; ) {
    const height = j < six ? 6 : 4;
    tileRows(height, E, from + <usize>j * step, step, last, panel, products + <usize>j * WIDTH, 0);
    j += height;
  }
}

/** O^T += the `k` rows at `from` times weights. */
function addInPlace(from: usize, k: i32, o: usize, met: i32): void {
  const six = sixes(V);
  for (let j = 0; j < V; ) {
    const height = j < six ? 6 : 4;
    tile(height, k, from + (<usize>j << 2), <usize>V << 2, weights, o + <usize>j * WIDTH, met);
    j += height;
  }
}

/** O^T += `k` of the `all` rows in panels, from row `from` on, times weights. */
function addPanels(all: i32, from: i32, k: i32, o: usize, met: i32): void {
  const six = sixes(V);
  let v = values;
  for (let j = 0; j < room; ) {
    const height = j < six ? 6 : 4, step = <usize>height << 2;
    tile(height, k, v + <usize>from * step, step, weights, o + <usize>j * WIDTH, met);
    v += <usize>all * step;
    j += height;
  }
}
