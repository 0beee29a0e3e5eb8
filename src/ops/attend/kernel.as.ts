// Attention forward. Scores are computed transposed, S^T = K Q^T, a panel [keys][COLUMNS] at a time: the panel that comes
// out of the first contraction is, once weighed, the very operand that the second, O^T = V^T S^T, wants. README.md has more.
import { address, first, next, scratch, whole } from "../../device/thread.as";
import { COLUMNS } from "../einsum/micro.as";
import {
  E,
  batch,
  block,
  blockRow,
  blockStride,
  few,
  firstSeen,
  groups,
  keyPieces,
  keysPerPiece,
  lastSeen,
  m,
  open,
  openBlock,
  openPanels,
  openSequence,
  part,
  rowPieces,
  rowsPerPiece,
  s,
  scale,
  setBlocks,
  stick,
  t,
  terms,
  valueRoom,
  values,
  widthOf,
} from "./call.as";
import { attendFew } from "./few.as";
import { copyRows, liftRows } from "./panel.as";
import { DEPTH, contract, maskPanel, layQueries } from "./score.as";
import { keepPiece, mergePieces, mergeRow, partRow, writePiece } from "./result.as";
import { LOG2E, MET, PANEL, TABLE, exponential, shrink, weigh } from "./softmax.as";
import * as slot from "./slot";
import { breakPanel, spent } from "./stick.as";
import { WIDTH, ceilRow, floorRow, padRows, sixes, tile, tileRows } from "./tile.as";

/** Up to so many rows, keys are read where they lie: copying them would take longer than it saves. */
const CLOSE: i32 = 64;

// Where this thread keeps what, set by `attend` from its scratch memory.
let table: usize = 0;
let queries: usize = 0;
let sums: usize = 0;
let state: usize = 0;
let keys: usize = 0;
let vals: usize = 0;
let scores: usize = 0;
/** Floats of a panel of O^T. */
let room: i32 = 0;

/** attend(values, view, ...terms): see index.ts for shapes, wasm.ts for the arguments. */
export function attend(args: usize, thread: i32): void {
  prepare(args, thread);
  const pieces = countPieces();
  for (let piece = first(pieces); piece < pieces; piece = next()) runPiece(piece);
}

/** Several calls whose pieces follow one another: how many, and where the arguments of the first lie. */
export function attendEach(args: usize, thread: i32): void {
  const n = whole(args, slot.CALLS), calls = address(args, slot.FIRST_CALL), each = address(args, slot.CALL_BYTES);
  let all = 0;
  for (let i = 0; i < n; i++) {
    open(calls + <usize>i * each);
    all += countPieces();
  }
  // A thread's pieces ascend, and with them the calls.
  let call = -1, start = 0, end = 0;
  for (let piece = first(all); piece < all; piece = next()) {
    const before = call;
    while (piece >= end) {
      open(calls + <usize>++call * each);
      start = end;
      end += countPieces();
    }
    if (call != before) prepare(calls + <usize>call * each, thread);
    runPiece(piece - start);
  }
}

/** After attendEach, as attendMerge after attend. */
export function attendEachMerge(args: usize, thread: i32): void {
  const n = whole(args, slot.CALLS), calls = address(args, slot.FIRST_CALL), each = address(args, slot.CALL_BYTES);
  table = scratch(thread);
  exponential(table);
  for (let call = first(n); call < n; call = next()) {
    open(calls + <usize>call * each);
    if (part) for (let i = 0, rows = batch * groups * t * m; i < rows; i++) mergeRow(i, table);
  }
}

/** After attend or attendFactored, where keys were taken in pieces: sums the pieces of every row. */
export function attendMerge(args: usize, thread: i32): void {
  open(args);
  table = scratch(thread);
  exponential(table);
  mergePieces(table);
}

/** Opens a call and lays out this thread's memory for it. */
function prepare(args: usize, thread: i32): void {
  open(args);
  table = scratch(thread);
  exponential(table);
  if (few) return;
  room = valueRoom(values);
  const panels = <usize>((min(rowsPerPiece, t * m) + COLUMNS - 1) / COLUMNS);
  state = table + TABLE;
  scores = state + panels * PANEL;
  queries = scores + <usize>block * WIDTH;
  sums = queries + panels * <usize>E * WIDTH;
  keys = sums + panels * <usize>room * WIDTH;
  vals = keys + ((<usize>(block * E)) << 2);
  setBlocks(vals + ((<usize>(block * room)) << 2));
}

function countPieces(): i32 {
  return few ? batch * keyPieces : batch * groups * rowPieces * keyPieces;
}

function runPiece(piece: i32): void {
  if (few) {
    // Pieces are ranges of keys, whatever the group.
    const b = piece % batch, keyPiece = piece / batch;
    const step = partRow(0, 0, 1, 0) - partRow(0, 0, 0, 0);
    openSequence(b);
    attendFew(b, keyPiece, LOG2E * scale, table + TABLE, table, partRow(b, 0, 0, keyPiece), step);
    return;
  }
  // The last rows see most keys: they go first. Groups of a sequence share pages of memory: they follow each other.
  const group = piece % groups;
  let rest = piece / groups;
  const b = rest % batch;
  rest /= batch;
  const keyPiece = rest % keyPieces;
  const rowPiece = rowPieces - 1 - rest / keyPieces;
  attendPiece(b, group, rowPiece, keyPiece);
}

function attendPiece(b: i32, group: i32, rowPiece: i32, keyPiece: i32): void {
  const row0 = rowPiece * rowsPerPiece;
  const rows = min(rowsPerPiece, t * m - row0);
  const key0 = keyPiece * keysPerPiece;
  const key1 = min(s, key0 + keysPerPiece);
  openSequence(b);
  openPanels(state, group, row0, rows, keyPiece);
  layQueries(b, group, row0, rows, LOG2E * scale, queries);
  const from = max(key0, firstSeen(row0));
  const to = min(key1, lastSeen(row0 + rows - 1) + 1);
  const blocks = (max(0, to - key0) + block - 1) / block;
  for (let i = 0; i < blocks; i++) {
    // A stick is broken from the newest key back.
    const key = key0 + (stick ? blocks - 1 - i : i) * block;
    const n = min(block, key1 - key);
    if (key + n <= from) continue;
    if (stick && spent(state, rows)) break;
    openBlock(b, group, key, n);
    if (rows > CLOSE) layKeys(n);
    layValues(n, rows);
    attendBlock(row0, rows, key, n);
  }
  if (keyPieces > 1) keepPiece(b, group, row0, rows, keyPiece, state, sums, room);
  else writePiece(b, group, row0, rows, state, sums, room);
}

function layKeys(n: i32): void {
  for (let i = 0, at = 0; i < terms; i++) {
    const e = widthOf(i);
    liftRows(blockRow(i), blockStride(i), n, e, keys, E, at);
    at += e;
  }
}

function layValues(n: i32, rows: i32): void {
  let to = vals;
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i);
    if (!inPlace(rows, e)) copyRows(blockRow(i), blockStride(i), n, e, to);
    to += (<usize>(n * padRows(e))) << 2;
  }
}

/** Whether values of width `e` are read where they lie: no tile may reach beyond them. */
// @ts-ignore: decorator
@inline
function inPlace(rows: i32, e: i32): bool {
  return rows <= CLOSE && e % 4 == 0;
}

/** All panels of the piece against the `n` keys from `key` on. */
function attendBlock(row0: i32, rows: i32, key: i32, n: i32): void {
  const six = sixes(n);
  let q = queries, o = sums, panel = state;
  for (let r = 0; r < rows; r += COLUMNS) {
    const first = row0 + r, last = row0 + min(r + COLUMNS, rows) - 1;
    const from = max(firstSeen(first) - key, 0), to = min(lastSeen(last) + 1 - key, n);
    if (from < to && !(stick && spent(panel, 1))) {
      const begin = floorRow(from, six), end = ceilRow(to, six);
      if (rows > CLOSE) contract(begin, end, six, E, keys, q, scores);
      else contractInPlace(n, begin, end, six, q, scores);
      maskPanel(first, last, key, begin, to, scores, panel);
      const at = scores + <usize>begin * WIDTH;
      const met = load<i32>(panel, MET);
      if (stick) breakPanel(at, to - begin, panel, table);
      else if (weigh(at, to - begin, panel, table) && met) shrink(o, room, panel);
      store<i32>(panel, 1, MET);
      let v = vals, c = o;
      for (let i = terms; i < terms + values; i++) {
        const e = widthOf(i), all = padRows(e), most = sixes(e);
        const near = inPlace(rows, e);
        const stride = blockStride(i), row = blockRow(i) + <usize>begin * stride;
        for (let j = 0; j < all; ) {
          const height = j < most ? 6 : 4;
          const step = <usize>height << 2;
          if (near) tile(height, to - begin, row + (<usize>j << 2), stride, at, c, met);
          else tile(height, to - begin, v + <usize>begin * step, step, at, c, met);
          v += <usize>n * step;
          c += <usize>height * WIDTH;
          j += height;
        }
      }
    }
    q += <usize>E * WIDTH;
    o += <usize>room * WIDTH;
    panel += PANEL;
  }
}

/** As `contract`, from the `n` keys of the block where they lie. */
function contractInPlace(n: i32, begin: i32, end: i32, six: i32, q: usize, to: usize): void {
  let add = 0;
  for (let i = 0; i < terms; i++) {
    const e = widthOf(i), stride = blockStride(i), row = blockRow(i), last = row + <usize>(n - 1) * stride;
    for (let k = 0; k < e; k += DEPTH) {
      const depth = min(DEPTH, e - k), at = <usize>k << 2;
      for (let j = begin; j < end; ) {
        const height = j < six ? 6 : 4;
        tileRows(height, depth, row + at + <usize>j * stride, stride, last + at, q, to + <usize>j * WIDTH, add);
        j += height;
      }
      q += <usize>depth * WIDTH;
      add = 1;
    }
  }
}
