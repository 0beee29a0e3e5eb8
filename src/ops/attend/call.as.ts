// The call a thread works on, read once from its arguments, and where its rows lie.
// "Row" is a query of a piece: the m heads that share all keys and values are folded into it, row = i m + head.
import { COLUMNS } from "../einsum/micro.as";
import { real, whole, address } from "../../device/thread.as";
import { F32, PAGE } from "../../tensor/pagination";
import { bytesOf, expand, pageOf } from "../pages/row.as";
import * as slot from "./slot";
import { FIRST, LAST, LOG2E, MET, NONE, PANEL, SUM, TOP } from "./softmax.as";
import { padRows } from "./tile.as";

let call: usize = 0;
export let batch: i32 = 0;
export let t: i32 = 0;
export let s: i32 = 0;
export let h: i32 = 0;
export let scale: f32 = 0;
export let causal: i32 = 0;
export let window: i32 = 0;
/** Heads folded into rows, and how many such groups there are. */
export let m: i32 = 0;
export let groups: i32 = 0;
export let terms: i32 = 0;
export let values: i32 = 0;
/** Summed widths of the terms and of the values. */
export let E: i32 = 0;
export let V: i32 = 0;
export let out: usize = 0;
export let lse: usize = 0;
/** Keys of a block, rows and keys of a piece, and how many pieces rows and keys make. */
export let block: i32 = 0;
export let rowsPerPiece: i32 = 0;
export let rowPieces: i32 = 0;
export let keysPerPiece: i32 = 0;
export let keyPieces: i32 = 0;
/** Memory for unfinished results. */
export let part: usize = 0;
export let gout: usize = 0;
/** Whether a group has so few rows that they are taken one by one. */
export let few: i32 = 0;
/** Logit per head of a key without a value, and where its gradient goes; 0 if there is none. */
let sinks: usize = 0;
export let sinkGradient: usize = 0;
/** Not 0 where weights are those of stick-breaking, and where what they leave goes to the query's own value. */
export let stick: i32 = 0;
export let remainder: i32 = 0;
/** How far behind its own place the newest key is that a query sees. */
let behind: i32 = 0;
let starts: usize = 0;
/** Keys that queries have chosen, how many each, and where those of the sequence begin that `openSequence` was told. */
let choices: usize = 0;
export let choice: i32 = 0;
let chosen: usize = 0;
/** First visible key row of the sequence that `openSequence` was told. */
export let oldest: i32 = 0;

export function open(args: usize): void {
  call = args;
  batch = whole(args, slot.BATCH);
  t = whole(args, slot.T);
  s = whole(args, slot.S);
  h = whole(args, slot.H);
  scale = real(args, slot.SCALE);
  causal = whole(args, slot.CAUSAL);
  window = whole(args, slot.WINDOW);
  m = whole(args, slot.FOLDED);
  groups = whole(args, slot.GROUPS);
  terms = whole(args, slot.TERMS);
  values = whole(args, slot.VALUES);
  E = whole(args, slot.TERM_WIDTH);
  V = whole(args, slot.VALUE_WIDTH);
  out = address(args, slot.OUT);
  lse = address(args, slot.LSE);
  block = whole(args, slot.BLOCK);
  rowsPerPiece = whole(args, slot.ROWS_PER_PIECE);
  rowPieces = whole(args, slot.ROW_PIECES);
  keysPerPiece = whole(args, slot.KEYS_PER_PIECE);
  keyPieces = whole(args, slot.KEY_PIECES);
  part = address(args, slot.PARTS);
  gout = address(args, slot.GOUT);
  few = whole(args, slot.FEW);
  starts = address(args, slot.STARTS);
  sinks = address(args, slot.SINKS);
  sinkGradient = address(args, slot.SINK_GRADIENT);
  stick = whole(args, slot.STICK);
  behind = whole(args, slot.BEHIND);
  remainder = whole(args, slot.REMAINDER);
  choices = address(args, slot.CHOICES);
  choice = whole(args, slot.CHOICE);
}

/** To be called before anything is asked about which keys are seen. */
export function openSequence(b: i32): void {
  chosen = choices + (<usize>(b * t * choice) << 2);
  oldest = starts ? <i32>max<f32>(0, min<f32>(<f32>s, load<f32>(starts + (<usize>b << 2)))) : 0;
}

// Operand i: the terms first, then the values.

/** Slot `field` of the record of operand i. */
// @ts-ignore: decorator
@inline
function fieldOf(i: i32, field: i32): i32 {
  return slot.OPERANDS + i * slot.PER_OPERAND + field;
}

/** Width of operand i. */
export function widthOf(i: i32): i32 {
  return whole(call, fieldOf(i, slot.WIDTH));
}

/** Key heads of operand i. */
export function groupsOf(i: i32): i32 {
  return whole(call, fieldOf(i, slot.KEY_HEADS));
}

/** Where the key gradient of operand i goes, 0 if unwanted. */
export function keyGradient(i: i32): usize {
  return address(call, fieldOf(i, slot.KEY_GRADIENT));
}

/** Memory for the copies of that gradient that have to be summed, and their number (1: written in place). */
export function keyCopies(i: i32): usize {
  return address(call, fieldOf(i, slot.KEY_COPIES));
}

export function copiesOf(i: i32): i32 {
  return whole(call, fieldOf(i, slot.COPIES));
}

/** Where the query gradient of term i goes, 0 if unwanted. */
export function queryGradient(i: i32): usize {
  return address(call, fieldOf(i, slot.QUERY_GRADIENT));
}

/** Query rows of term i. */
export function queryOf(i: i32): usize {
  return address(call, fieldOf(i, slot.QUERIES));
}

/** Bytes from one key row of operand i to the next. */
export function keyStride(i: i32): usize {
  return <usize>(groupsOf(i) * widthOf(i)) << 2;
}

/** Key (or value) row `key` of operand i for the heads of a group, or its place in a gradient at `base`. */
export function keyAt(base: usize, i: i32, b: i32, group: i32, key: i32): usize {
  const g = groupsOf(i);
  const head = (group * m * g) / h;
  return base + ((((<usize>(b * s + key)) * g + head) * widthOf(i)) << 2);
}

/** Float32 rows of operand i, in one stretch or on pages. */
export function keyRow(i: i32, b: i32, group: i32, key: i32): usize {
  const table = address(call, fieldOf(i, slot.PAGES));
  if (!table) return keyAt(address(call, fieldOf(i, slot.KEYS)), i, b, group, key);
  const page = pageOf(table, key);
  return keyAt(page + address(call, fieldOf(i, slot.ROWS_AT)), i, 0, group, key % PAGE);
}

// Keys are met in blocks, none of which lies on two pages. Rows that are not float32 are expanded once per block, for all
// heads, into memory of this thread; where a value is a key it is the same rows.
/** For each operand: address of the block's first row, bytes from row to row. */
let places: usize = 0;
let expanded: usize = 0;

/** Gives this thread's memory for blocks. */
export function setBlocks(space: usize): void {
  places = space;
  expanded = space + 64;
}

/** First row of the block for operand i: of all key heads where rows are few, else of the group's own. */
export function blockRow(i: i32): usize {
  return <usize>load<u32>(places + (<usize>i << 3));
}

export function blockStride(i: i32): usize {
  return <usize>load<u32>(places + (<usize>i << 3), 4);
}

/** Makes the `n` keys from `key` on the block. */
export function openBlock(b: i32, group: i32, key: i32, n: i32): void {
  let to = expanded;
  if (few) group = 0;
  for (let i = 0; i < terms + values; i++) {
    const place = places + (<usize>i << 3);
    const twin = whole(call, fieldOf(i, slot.TWIN));
    if (twin < i) {
      store<u64>(place, load<u64>(places + (<usize>twin << 3)));
      continue;
    }
    const type = whole(call, fieldOf(i, slot.TYPE));
    if (type == F32) {
      store<u32>(place, <u32>keyRow(i, b, group, key));
      store<u32>(place, <u32>keyStride(i), 4);
      continue;
    }
    const stride = expandRows(i, type, group, key, n, to);
    store<u32>(place, <u32>to);
    store<u32>(place, <u32>stride, 4);
    to += <usize>n * stride;
  }
}

/** `n` rows of operand i as float32 from `to` on; returns the bytes from one to the next. */
function expandRows(i: i32, type: i32, group: i32, key: i32, n: i32, to: usize): usize {
  const g = groupsOf(i), e = widthOf(i);
  const page = pageOf(address(call, fieldOf(i, slot.PAGES)), key);
  const scales = whole(call, fieldOf(i, slot.SCALES));
  const first = few ? 0 : (group * m * g) / h, heads = few ? g : 1;
  const step = bytesOf(type, g * e), scaleStep = <usize>scales << 2;
  let from = page + address(call, fieldOf(i, slot.ROWS_AT)) + <usize>(key % PAGE) * step + bytesOf(type, first * e);
  let scale = page + address(call, fieldOf(i, slot.SCALES_AT)) + <usize>(key % PAGE) * scaleStep;
  // 64 bytes between rows of a power of two: they would all want the same lines of the first-level cache.
  const stride = (<usize>(heads * e) << 2) + 64;
  if (scales == 1) {
    for (; n > 0; n--, from += step, scale += scaleStep, to += stride) expand(type, from, scale, heads * e, to);
    return stride;
  }
  for (; n > 0; n--, from += step, scale += scaleStep, to += stride)
    for (let head = 0; head < heads; head++)
      expand(
        type,
        from + bytesOf(type, head * e),
        scale + (<usize>(first + head) << 2),
        e,
        to + (<usize>(head * e) << 2),
      );
  return stride;
}

/** Row `row` of a tensor `[batch t, h, width]` at `base`. */
export function rowAt(base: usize, width: i32, b: i32, group: i32, row: i32): usize {
  const i = m == 1 ? row : row / m;
  return base + ((((<usize>(b * t + i)) * h + group * m + (row - i * m)) * width) << 2);
}

/** Last and first key that a row sees. */
export function lastSeen(row: i32): i32 {
  return causal ? row / m + s - t - behind : s - 1;
}

export function firstSeen(row: i32): i32 {
  return window ? max(oldest, row / m + s - t - window + 1) : oldest;
}

/** The keys that a row has chosen. */
export function chosenBy(row: i32): usize {
  return chosen + (<usize>((row / m) * choice) << 2);
}

/** Last key row that a row has a part in: its own, though it may not see it, where that gets the remainder. */
export function lastMet(row: i32): i32 {
  return remainder ? row / m + s - t : lastSeen(row);
}

/** The sink of a head, times log2(e). */
export function sinkOf(head: i32): f32 {
  return LOG2E * load<f32>(sinks + (<usize>head << 2));
}

/**
 * Running maximum and sum of a row before any key of a piece is met, at `at` and `at + gap`. A sink counts as a key of
 * the first piece. With stick-breaking there is no maximum, and the sum is what is left: all.
 */
export function openRow(at: usize, gap: usize, group: i32, row: i32, keyPiece: i32): void {
  const sunk = sinks != 0 && keyPiece == 0;
  store<f32>(at, sunk ? sinkOf(group * m + (row % m)) : NONE);
  store<f32>(at + gap, sunk || stick ? 1 : 0);
}

/** Floats that the values take once each is filled up to whole tiles; place of value i among them. */
export function valueRoom(upTo: i32): i32 {
  let room = 0;
  for (let i = 0; i < upTo; i++) room += padRows(widthOf(terms + i));
  return room;
}

/** The same for the terms. */
export function termRoom(upTo: i32): i32 {
  let room = 0;
  for (let i = 0; i < upTo; i++) room += padRows(widthOf(i));
  return room;
}

/** Sets up the panels of rows `row0` to `row0 + rows - 1`; lanes left over repeat the last row. */
export function openPanels(panel: usize, group: i32, row0: i32, rows: i32, keyPiece: i32): void {
  for (let r = 0; r < rows; r += COLUMNS, panel += PANEL) {
    for (let lane = 0; lane < COLUMNS; lane++) {
      const row = row0 + min(r + lane, rows - 1);
      const at = panel + (<usize>lane << 2);
      openRow(at + TOP, SUM - TOP, group, row, keyPiece);
      store<i32>(at, lastSeen(row), LAST);
      store<i32>(at, firstSeen(row), FIRST);
    }
    store<i32>(panel, 0, MET);
  }
}
