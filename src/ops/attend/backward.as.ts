// Attention in reverse. For a block of keys and a panel of queries, weights P^T and score gradients dS^T are panels
// [keys][COLUMNS] as in kernel.as.ts; dQ^T = K^T dS^T reads them as the right operand, dV = P^T dO and dK = dS^T Q as the
// left one. README.md has the equations.
import { first, next, scratch } from "../../device/thread.as";
import { COLUMNS } from "../einsum/micro.as";
import { tileAlong } from "./along.as";
import {
  E,
  V,
  batch,
  block,
  firstSeen,
  gout,
  groups,
  keyGradient,
  keyRow,
  keyStride,
  lastMet,
  lastSeen,
  lse,
  m,
  open,
  openPanels,
  openSequence,
  out,
  queryGradient,
  queryOf,
  remainder,
  rowAt,
  rowPieces,
  rowsPerPiece,
  s,
  scale,
  stick,
  t,
  termRoom,
  terms,
  values,
  widthOf,
} from "./call.as";
import { dot, sumCopies, sumSinks, writeKeys, writeQueries } from "./gradient.as";
import { copyAcross, copyRows, lift4, liftRows } from "./panel.as";
import { contract, maskPanel, layQueries } from "./score.as";
import { HELD } from "./size";
import { LOG2E, MET, PANEL, SHRINK, SUM, TABLE, TOP, differentiate, exponential } from "./softmax.as";
import { LEFT, REST, differentiateStick, giveOwn, spent } from "./stick.as";
import { WIDTH, ceilRow, floorRow, padRows, sixes, tile } from "./tile.as";

/** Panels whose P and dS are held at once. */
const PANELS: i32 = HELD / COLUMNS;
/** First and last key row of a panel in the block at hand; the forward pass keeps SHRINK there. */
const BEGIN: usize = SHRINK;
const END: usize = SHRINK + 4;

// Where this thread keeps what. L: lifted [width][COLUMNS]; A: across [width / COLUMNS][rows][COLUMNS].
let table: usize = 0;
let state: usize = 0;
let weights: usize = 0;
let slopes: usize = 0;
let queriesL: usize = 0;
let queriesA: usize = 0;
let goutL: usize = 0;
let goutA: usize = 0;
let queryGrads: usize = 0;
let keysL: usize = 0;
let valsL: usize = 0;
let keysC: usize = 0;
let grads: usize = 0;
/** Floats of a panel of dQ^T, and of a row of all terms and values laid across. */
let room: i32 = 0;
let across: i32 = 0;
/** Bytes between panels of P and of dS. */
let gap: usize = 0;

// @ts-ignore: decorator
@inline
function roundUp(n: i32): i32 {
  return (n + COLUMNS - 1) & -COLUMNS;
}

/** Gradients of attend: see index.ts for shapes, wasm.ts for the arguments. */
export function attendBackward(args: usize, thread: i32): void {
  open(args);
  room = termRoom(terms);
  across = 0;
  for (let i = 0; i < terms + values; i++) across += roundUp(widthOf(i));
  const rows = <usize>roundUp(min(rowsPerPiece, t * m));
  gap = <usize>block * WIDTH;
  table = scratch(thread);
  state = table + TABLE;
  weights = state + (rows / COLUMNS) * PANEL;
  slopes = weights + PANELS * gap;
  queriesL = slopes + PANELS * gap;
  goutL = queriesL + ((rows * E) << 2);
  queriesA = goutL + ((rows * V) << 2);
  queryGrads = queriesA + ((rows * across) << 2);
  keysL = queryGrads + ((rows * room) << 2);
  valsL = keysL + ((<usize>(block * E)) << 2);
  keysC = valsL + ((<usize>(block * V)) << 2);
  grads = keysC + ((<usize>(block * room)) << 2);
  exponential(table);

  const pieces = batch * groups * rowPieces;
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const rest = piece / groups;
    reversePiece(rest % batch, piece % groups, rowPieces - 1 - rest / batch);
  }
}

/** After attendBackward: sums the gradients of keys and values that several pieces have a part in. */
export function attendCopies(args: usize, _thread: i32): void {
  open(args);
  sumCopies();
}

/** After attendBackward: the gradients of sinks. */
export function attendSinks(args: usize, thread: i32): void {
  open(args);
  table = scratch(thread);
  exponential(table);
  sumSinks(table);
}

function reversePiece(b: i32, group: i32, rowPiece: i32): void {
  const row0 = rowPiece * rowsPerPiece;
  const rows = min(rowsPerPiece, t * m - row0);
  openSequence(b);
  openPanels(state, group, row0, rows, 0);
  layQueries(b, group, row0, rows, LOG2E * scale, queriesL);
  layRows(b, group, row0, rows);
  const from = firstSeen(row0), to = lastMet(row0 + rows - 1) + 1;
  const blocks = (s + block - 1) / block;
  for (let i = 0; i < blocks; i++) {
    const key = (stick ? blocks - 1 - i : i) * block;
    const n = min(block, s - key);
    memory.fill(grads, 0, <usize>(padRows(n) * across) << 2);
    if (key < to && key + n > from && !(stick && spent(state, rows))) {
      layKeys(b, group, key, n);
      for (let r = 0; r < rows; r += HELD) reverseBlock(b, group, row0, rows, r, key, n);
    }
    writeKeys(b, group, rowPiece, key, n, grads);
  }
  writeQueries(b, group, row0, rows, state, queryGrads, room);
}

/** Output gradients lifted, queries and output gradients across; of each row sum(g * out), and log2 of the sum or 1. */
function layRows(b: i32, group: i32, row0: i32, rows: i32): void {
  const all = roundUp(rows), last = row0 + rows - 1;
  for (let r = 0; r < rows; r += 4) {
    const to = goutL + <usize>(r / COLUMNS * V) * WIDTH + (<usize>(r % COLUMNS) << 2);
    const row = row0 + r;
    lift4(
      rowAt(gout, V, b, group, row),
      rowAt(gout, V, b, group, min(row + 1, last)),
      rowAt(gout, V, b, group, min(row + 2, last)),
      rowAt(gout, V, b, group, min(row + 3, last)),
      V,
      to,
      WIDTH,
      1,
    );
  }
  for (let r = (rows + 3) & ~3; r < all; r += 4) {
    // Lanes beyond the last row: any finite number will do.
    const to = goutL + <usize>(r / COLUMNS * V) * WIDTH + (<usize>(r % COLUMNS) << 2);
    for (let c = 0; c < V; c++) v128.store(to + <usize>c * WIDTH, f32x4.splat(0));
  }
  for (let r = 0; r < all; r++) {
    const row = row0 + r, some = r < rows;
    let to = queriesA;
    for (let i = 0; i < terms; i++) {
      const e = widthOf(i);
      copyAcross(some ? rowAt(queryOf(i), e, b, group, row) : 0, e, to, all, r);
      to += <usize>(roundUp(e) * all) << 2;
    }
    let g = some ? rowAt(gout, V, b, group, row) : 0;
    for (let i = terms; i < terms + values; i++) {
      const e = widthOf(i);
      copyAcross(g, e, to, all, r);
      if (some) g += <usize>e << 2;
      to += <usize>(roundUp(e) * all) << 2;
    }
    const at = state + <usize>(r / COLUMNS) * PANEL + (<usize>(r % COLUMNS) << 2);
    // Rows that see nothing, and lanes without a row, weigh every key 0.
    const whole = some ? dot(rowAt(gout, V, b, group, row), rowAt(out, V, b, group, row), V) : 0;
    const sum: f32 = some ? load<f32>(rowAt(lse, 1, b, group, row)) : -Infinity;
    if (stick) {
      store<f32>(at, some ? 1 : 0, LEFT);
      store<f32>(at, whole, REST);
    } else {
      store<f32>(at, sum > -Infinity ? sum * LOG2E : <f32>1e30, TOP);
      store<f32>(at, whole, SUM);
    }
  }
}

function layKeys(b: i32, group: i32, key: i32, n: i32): void {
  let copy = keysC;
  for (let i = 0, at = 0; i < terms; i++) {
    const e = widthOf(i), from = keyRow(i, b, group, key), stride = keyStride(i);
    liftRows(from, stride, n, e, keysL, E, at);
    copyRows(from, stride, n, e, copy);
    at += e;
    copy += <usize>(n * padRows(e)) << 2;
  }
  for (let i = terms, at = 0; i < terms + values; i++) {
    const e = widthOf(i);
    liftRows(keyRow(i, b, group, key), keyStride(i), n, e, valsL, V, at);
    at += e;
  }
}

/** Up to PANELS panels from row `r` of the piece on against the keys in panels. */
function reverseBlock(b: i32, group: i32, row0: i32, rows: i32, r: i32, key: i32, n: i32): void {
  const six = sixes(n);
  const panels = min(PANELS, (rows - r + COLUMNS - 1) / COLUMNS);
  const index = <usize>(r / COLUMNS);
  let some = false;
  for (let p = 0; p < panels; p++) {
    const first = row0 + r + p * COLUMNS, last = min(first + COLUMNS, row0 + rows) - 1;
    const panel = state + (index + p) * PANEL;
    const from = max(firstSeen(first) - key, 0), to = min(lastMet(last) + 1 - key, n);
    const begin = from < to ? floorRow(from, six) : 0, end = from < to ? ceilRow(to, six) : 0;
    store<i32>(panel, begin, BEGIN);
    store<i32>(panel, end, END);
    if (begin == end) continue;
    some = true;
    const w = weights + p * gap, d = slopes + p * gap;
    if (stick && spent(panel, 1)) {
      // Panels on either side may still have something left, and `addKeys` skips none between them.
      memory.fill(w, 0, gap);
      memory.fill(d, 0, gap);
      continue;
    }
    contract(begin, end, six, E, keysL, queriesL + (index + p) * <usize>E * WIDTH, w);
    contract(begin, end, six, V, valsL, goutL + (index + p) * <usize>V * WIDTH, d);
    maskPanel(first, last, key, begin, end, w, panel);
    const at = d + <usize>begin * WIDTH;
    if (stick) differentiateStick(w + <usize>begin * WIDTH, at, end - begin, panel, table);
    else differentiate(w + <usize>begin * WIDTH, at, end - begin, panel, table);
    if (remainder) giveOwn(b, group, first, last, key, n, w);
    addQueries(panel, queryGrads + (index + p) * <usize>room * WIDTH, begin, to, n, at);
  }
  if (some) addKeys(rows, r, panels, n, six, index);
}

/** dQ^T += K^T dS^T. */
function addQueries(panel: usize, to: usize, begin: i32, end: i32, n: i32, slope: usize): void {
  const met = load<i32>(panel, MET);
  store<i32>(panel, 1, MET);
  let k = keysC;
  for (let i = 0; i < terms; i++) {
    const e = widthOf(i), all = padRows(e), most = sixes(e);
    if (!queryGradient(i)) {
      k += <usize>(n * all) << 2;
      to += <usize>all * WIDTH;
      continue;
    }
    for (let j = 0; j < all; ) {
      const height = j < most ? 6 : 4;
      const step = <usize>height << 2;
      tile(height, end - begin, k + <usize>begin * step, step, slope, to, met);
      k += <usize>n * step;
      to += <usize>height * WIDTH;
      j += height;
    }
  }
}

/** dK += dS^T Q and dV += P^T dO, a few keys at a time, over those panels that see any of them. */
function addKeys(rows: i32, r: i32, panels: i32, n: i32, six: i32, index: usize): void {
  const all = roundUp(rows), room = padRows(n);
  for (let j = 0; j < room; ) {
    const height = j < six ? 6 : 4;
    let p = 0, end = panels;
    while (p < end && !sees(index + p, j)) p++;
    while (end > p && !sees(index + end - 1, j)) end--;
    if (p < end) {
      const left = <usize>p * gap + <usize>j * WIDTH;
      let right = queriesA + <usize>(r + p * COLUMNS) * WIDTH, to = grads + <usize>j * WIDTH;
      for (let i = 0; i < terms + values; i++) {
        const a = (i < terms ? slopes : weights) + left;
        const wanted = keyGradient(i) != 0;
        for (let c = widthOf(i); c > 0; c -= COLUMNS) {
          if (wanted) tileAlong(height, end - p, a, gap, right, to, 1);
          right += <usize>all * WIDTH;
          to += <usize>room * WIDTH;
        }
      }
    }
    j += height;
  }
}

// @ts-ignore: decorator
@inline
function sees(panel: usize, key: i32): bool {
  const at = state + panel * PANEL;
  return key >= load<i32>(at, BEGIN) && key < load<i32>(at, END);
}
