// Attention forward. Scores are computed transposed, S^T = K Q^T, a panel [keys][COLUMNS] at a time: the panel that comes
// out of the first contraction is, once weighed, the very operand that the second, O^T = V^T S^T, wants. README.md has more.
import { barrier, scratch, ticket } from "../../device/thread.as";
import { COLUMNS } from "../einsum/micro.as";
import { log4, madd } from "../simd.as";
import {
  E,
  V,
  batch,
  block,
  few,
  firstSeen,
  groups,
  h,
  keyPieces,
  keyRow,
  keyStride,
  keysPerPiece,
  lastSeen,
  lse,
  m,
  open,
  openPanels,
  out,
  part,
  queryOf,
  rowAt,
  rowPieces,
  rowsPerPiece,
  s,
  scale,
  t,
  terms,
  valueRoom,
  values,
  widthOf,
} from "./call.as";
import { attendFew } from "./few.as";
import { copyRows, lift4, liftRows, lower4 } from "./pack.as";
import { MET, NONE, PANEL, SUM, TABLE, TOP, exp2Once, exponential, hide, shrink, weigh } from "./softmax.as";
import { WIDTH, ceilRow, floorRow, padded, sixes, tile, tileRows } from "./tile.as";

export const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
/** Columns of the terms contracted at a time: a panel of as many rows stays in the first-level cache. */
export const DEPTH: i32 = 256;
/** Up to so many rows, keys are read where they lie: copying them would take longer than it saves. */
const CLOSE: i32 = 32;

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
export function attend(args: usize, thread: i32, threads: i32): void {
  open(args);
  if (few) {
    attendPieces(scratch(thread), threads);
    return;
  }
  room = valueRoom(values);
  const panels = <usize>((min(rowsPerPiece, t * m) + COLUMNS - 1) / COLUMNS);
  table = scratch(thread);
  state = table + TABLE;
  scores = state + panels * PANEL;
  queries = scores + <usize>block * WIDTH;
  sums = queries + panels * <usize>E * WIDTH;
  keys = sums + panels * <usize>room * WIDTH;
  vals = keys + ((<usize>(block * E)) << 2);
  exponential(table);

  const pieces = batch * groups * rowPieces * keyPieces;
  for (let piece = ticket(); piece < pieces; piece = ticket()) {
    // The last rows see most keys: they go first.
    const b = piece % batch;
    let rest = piece / batch;
    const group = rest % groups;
    rest /= groups;
    const keyPiece = rest % keyPieces;
    const rowPiece = rowPieces - 1 - rest / keyPieces;
    attendPiece(b, group, rowPiece, keyPiece);
  }
  barrier(threads);
  if (keyPieces > 1) mergePieces();
}

/** The way for few rows: pieces are ranges of keys, whatever the group. */
function attendPieces(space: usize, threads: i32): void {
  table = space;
  exponential(table);
  const step = partRow(0, 0, 1, 0) - partRow(0, 0, 0, 0);
  for (let piece = ticket(); piece < batch * keyPieces; piece = ticket()) {
    const b = piece % batch, keyPiece = piece / batch;
    attendFew(b, keyPiece, LOG2E * scale, table + TABLE, table, partRow(b, 0, 0, keyPiece), step);
  }
  barrier(threads);
  mergePieces();
}

function attendPiece(b: i32, group: i32, rowPiece: i32, keyPiece: i32): void {
  const row0 = rowPiece * rowsPerPiece;
  const rows = min(rowsPerPiece, t * m - row0);
  const key0 = keyPiece * keysPerPiece;
  const key1 = min(s, key0 + keysPerPiece);
  openPanels(state, row0, rows);
  packQueries(b, group, row0, rows, LOG2E * scale, queries);
  const from = max(key0, firstSeen(row0));
  const to = min(key1, lastSeen(row0 + rows - 1) + 1);
  for (let key = key0; key < to; key += block) {
    const n = min(block, key1 - key);
    if (key + n <= from) continue;
    if (rows > CLOSE) packKeys(b, group, key, n);
    packValues(b, group, key, n, rows);
    attendBlock(b, group, row0, rows, key, n);
  }
  if (keyPieces > 1) keepPiece(b, group, row0, rows, keyPiece);
  else writePiece(b, group, row0, rows);
}

function packKeys(b: i32, group: i32, key: i32, n: i32): void {
  for (let i = 0, at = 0; i < terms; i++) {
    const e = widthOf(i);
    liftRows(keyRow(i, b, group, key), keyStride(i), n, e, keys, E, at);
    at += e;
  }
}

function packValues(b: i32, group: i32, key: i32, n: i32, rows: i32): void {
  let to = vals;
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i);
    if (!inPlace(rows, e)) copyRows(keyRow(i, b, group, key), keyStride(i), n, e, to);
    to += (<usize>(n * padded(e))) << 2;
  }
}

/** Whether values of width `e` are read where they lie: no tile may reach beyond them. */
// @ts-ignore: decorator
@inline
function inPlace(rows: i32, e: i32): bool {
  return rows <= CLOSE && e % 4 == 0;
}

/** Rows `[rows][terms]` times `factor`, lifted into panels `[terms][COLUMNS]`; lanes left over repeat the last row. */
export function packQueries(b: i32, group: i32, row0: i32, rows: i32, factor: f32, to: usize): void {
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

/** All panels of the piece against the `n` keys from `key` on. */
function attendBlock(b: i32, group: i32, row0: i32, rows: i32, key: i32, n: i32): void {
  const six = sixes(n);
  let q = queries, o = sums, panel = state;
  for (let r = 0; r < rows; r += COLUMNS) {
    const first = row0 + r, last = row0 + min(r + COLUMNS, rows) - 1;
    const from = max(firstSeen(first) - key, 0), to = min(lastSeen(last) + 1 - key, n);
    if (from < to) {
      const begin = floorRow(from, six), end = ceilRow(to, six);
      if (rows > CLOSE) contract(begin, end, six, E, keys, q, scores);
      else contractInPlace(b, group, key, n, begin, end, six, q, scores);
      maskPanel(first, last, key, begin, to, scores, panel);
      const at = scores + <usize>begin * WIDTH;
      const met = load<i32>(panel, MET);
      if (weigh(at, to - begin, panel, table) && met) shrink(o, room, panel);
      store<i32>(panel, 1, MET);
      let v = vals, c = o;
      for (let i = terms; i < terms + values; i++) {
        const e = widthOf(i), all = padded(e), most = sixes(e);
        const near = inPlace(rows, e);
        const stride = keyStride(i), row = keyRow(i, b, group, key + begin);
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

/** Rows `begin` to `end` of `to` [keys][COLUMNS]: packed keys [.][width][rows] times a packed panel [width][COLUMNS]. */
export function contract(begin: i32, end: i32, six: i32, width: i32, packed: usize, panel: usize, to: usize): void {
  for (let k = 0; k < width; k += DEPTH) {
    const depth = min(DEPTH, width - k);
    for (let j = begin; j < end; ) {
      const height = j < six ? 6 : 4;
      const step = <usize>height << 2;
      const a = packed + ((<usize>(j * width)) << 2) + <usize>k * step;
      tile(height, depth, a, step, panel + <usize>k * WIDTH, to + <usize>j * WIDTH, k);
      j += height;
    }
  }
}

/** As `contract`, from the `n` keys from `key` on where they lie. */
function contractInPlace(b: i32, group: i32, key: i32, n: i32, begin: i32, end: i32, six: i32, q: usize, to: usize): void {
  let add = 0;
  for (let i = 0; i < terms; i++) {
    const e = widthOf(i), stride = keyStride(i), row = keyRow(i, b, group, key), last = row + <usize>(n - 1) * stride;
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

/** Hides those of keys `key + begin` to `key + end - 1` that some row from `first` to `last` does not see. */
export function maskPanel(first: i32, last: i32, key: i32, begin: i32, end: i32, s: usize, panel: usize): void {
  const early = min(firstSeen(last) - key, end);
  if (begin < early) hide(s + <usize>begin * WIDTH, early - begin, key + begin, panel);
  const late = max(max(lastSeen(first) + 1 - key, begin), early);
  if (late < end) hide(s + <usize>late * WIDTH, end - late, key + late, panel);
}

/** Log of the summed exponentials from a maximum and a sum of powers of two. */
// @ts-ignore: decorator
@inline
function logSum(top: f32, sum: f32): f32 {
  return sum > 0 ? LN2 * top + f32x4.extract_lane(log4(f32x4.splat(sum)), 0) : -Infinity;
}

/** Writes the finished rows of a piece. */
function writePiece(b: i32, group: i32, row0: i32, rows: i32): void {
  if (lse)
    for (let r = 0; r < rows; r++) {
      const at = state + <usize>(r / COLUMNS) * PANEL + (<usize>(r % COLUMNS) << 2);
      store<f32>(rowAt(lse, 1, b, group, row0 + r), logSum(load<f32>(at, TOP), load<f32>(at, SUM)));
    }
  for (let r = 0; r < rows; r += 4) {
    const panel = <usize>(r / COLUMNS), lane = <usize>(r % COLUMNS) << 2;
    const sum = v128.load(state + panel * PANEL + lane, SUM);
    // No sum, no weights: 0 instead of 0 / 0.
    const some = f32x4.gt(sum, f32x4.splat(0));
    const factors = v128.and(f32x4.div(f32x4.splat(1), sum), some);
    const row = row0 + r;
    lowerRows(
      load<i32>(state + panel * PANEL, MET),
      sums + panel * <usize>room * WIDTH + lane,
      factors,
      rowAt(out, V, b, group, row),
      r + 1 < rows ? rowAt(out, V, b, group, row + 1) : 0,
      r + 2 < rows ? rowAt(out, V, b, group, row + 2) : 0,
      r + 3 < rows ? rowAt(out, V, b, group, row + 3) : 0,
    );
  }
}

/** Four lanes of a panel of O^T, times factors, as rows of all values; zeros where no key was met. */
function lowerRows(met: i32, from: usize, factors: v128, r0: usize, r1: usize, r2: usize, r3: usize): void {
  if (!met) {
    memory.fill(r0, 0, <usize>V << 2);
    if (r1) memory.fill(r1, 0, <usize>V << 2);
    if (r2) memory.fill(r2, 0, <usize>V << 2);
    if (r3) memory.fill(r3, 0, <usize>V << 2);
    return;
  }
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i);
    lower4(from, e, factors, r0, r1, r2, r3);
    from += <usize>padded(e) * WIDTH;
    r0 += <usize>e << 2;
    if (r1) r1 += <usize>e << 2;
    if (r2) r2 += <usize>e << 2;
    if (r3) r3 += <usize>e << 2;
  }
}

// Where keys are split into pieces, a row of a piece leaves its maximum, its sum and V floats for `mergePieces`.

function partRow(b: i32, group: i32, row: i32, keyPiece: i32): usize {
  return part + ((((<usize>((b * groups + group) * t * m + row)) * keyPieces + keyPiece) * (V + 2)) << 2);
}

function keepPiece(b: i32, group: i32, row0: i32, rows: i32, keyPiece: i32): void {
  for (let r = 0; r < rows; r += 4) {
    const panel = <usize>(r / COLUMNS), lane = <usize>(r % COLUMNS) << 2;
    const left = rows - r, row = row0 + r;
    for (let i = 0; i < min(left, 4); i++) {
      const to = partRow(b, group, row + i, keyPiece);
      const at = state + panel * PANEL + lane + (<usize>i << 2);
      store<f32>(to, load<f32>(at, TOP));
      store<f32>(to, load<f32>(at, SUM), 4);
    }
    lowerRows(
      load<i32>(state + panel * PANEL, MET),
      sums + panel * <usize>room * WIDTH + lane,
      f32x4.splat(1),
      partRow(b, group, row, keyPiece) + 8,
      left > 1 ? partRow(b, group, row + 1, keyPiece) + 8 : 0,
      left > 2 ? partRow(b, group, row + 2, keyPiece) + 8 : 0,
      left > 3 ? partRow(b, group, row + 3, keyPiece) + 8 : 0,
    );
  }
}

/** Sums the pieces of every row, in the order of the keys. */
function mergePieces(): void {
  const rows = t * m, all = batch * groups * rows;
  for (let i = ticket(); i < all; i = ticket()) {
    const group = (i / rows) % groups, b = i / (rows * groups), row = i % rows;
    const from = partRow(b, group, row, 0), stride = <usize>(V + 2) << 2;
    let top = NONE;
    for (let p = 0; p < keyPieces; p++) top = max(top, load<f32>(from + <usize>p * stride));
    let sum: f32 = 0;
    // The maxima give way to the factors.
    for (let p = 0; p < keyPieces; p++) {
      const at = from + <usize>p * stride;
      const factor = f32x4.extract_lane(exp2Once(f32x4.splat(load<f32>(at) - top), table), 0);
      sum += factor * load<f32>(at, 4);
      store<f32>(at, factor);
    }
    if (lse) store<f32>(rowAt(lse, 1, b, group, row), logSum(top, sum));
    const inverse: f32 = sum > 0 ? 1 / sum : 0;
    const to = rowAt(out, V, b, group, row);
    let c: usize = 0;
    for (const end = (<usize>V << 2) & ~15; c < end; c += 16) {
      let o = f32x4.splat(0), at = from;
      for (let p = 0; p < keyPieces; p++, at += stride) o = madd(v128.load_splat<f32>(at), v128.load(at + c, 8), o);
      v128.store(to + c, f32x4.mul(o, f32x4.splat(inverse)));
    }
    for (; c < <usize>V << 2; c += 4) {
      let o: f32 = 0, at = from;
      for (let p = 0; p < keyPieces; p++, at += stride) o += load<f32>(at) * load<f32>(at + c, 8);
      store<f32>(to + c, o * inverse);
    }
  }
}
