// Contractions of rows of activations, more than one, with a packed weight of whole numbers: activations are rounded once, weights
// widened strip by strip where they must be, and both multiplied tile by tile. Each sum is what `dot` makes of its row alone, bit
// for bit, so that a prompt's pieces may have any length.
import { address, first, next, scratch, stride, whole } from "../../device/thread.as";
import { Q4_1, Q4_K, Q6_K, Q8_0 } from "../../tensor/format";
import { gatherRow } from "../einsum/stream.as";
import { madd } from "../simd.as";
import { align, alignedBytes, alignNone, numberBytes } from "./align.as";
import { put } from "./few.as";
import { dotsOf, panelsOf, runsOf } from "./list.as";
import { ACTIVATED, ALIGNED, MOST, TILE } from "./size";
import * as slot from "./slot";
import {
  addNibbles2, addNibbles4, addRaised2, addRaised4, addSixes2, addSixes4, addWhole2, addWhole4, dotLaid2, dotLaid4, dotRaised2,
  dotRaised4, dotSixes2, dotSixes4, LANES, PANELS, RECORD,
} from "./tile.as";
import { MINIMA, OUTER, SCALES, widen, WIDENED } from "./widen.as";

/** out[m, group, row] = sum over columns of a[m, group, column] w[group, row, column]. Pieces are panels for STRIP rows. */
export function packedTiles(args: usize, thread: i32): void {
  const width = whole(args, slot.COLUMNS);
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  const groups = whole(args, slot.GROUPS);
  const rows = whole(args, slot.ROWS), most = whole(args, slot.STRIP);
  const all = groups * ((rows + most - 1) / most);
  const each = panelsOf(args), run = whole(args, slot.RUN), pieces = runsOf(args);
  const space = scratch(thread), x = space + ALIGNED;
  let ready = -1;
  for (let t = first(all * pieces); t < all * pieces; t = next()) {
    const at = t / pieces, group = at % groups;
    const row = (at / groups) * most, m = min(most, rows - row);
    // The same rows meet another group, or others.
    const kept = ready >= 0 && ready / groups == at / groups && (ready == at || stride(args, slot.X_GROUP) == 0);
    if (!kept) alignRows(args, group, row, m, x, space + ACTIVATED);
    ready = at;
    const from = (t - at * pieces) * run;
    const to = min(from + run, each);
    for (let p = from; p < to; p += PANELS) {
      const panel = address(args, slot.WEIGHT) + <usize>(group * each + p) * bytes;
      sumPanels(args, panel, min(PANELS, to - p), width, m, x, space);
      putSums(args, group, row, m, p, min(PANELS, to - p), space + SUMS);
    }
  }
}

/** Sums of all rows of activations, behind the strip; those of a super-block alone, and over its minima. */
const SUMS: usize = 128 * LANES;
const BLOCK: usize = SUMS + MOST * LANES;
const LOWER: usize = BLOCK + MOST * LANES;

/** `m` rows of activations from `row` on. */
function alignRows(args: usize, group: i32, row: i32, m: i32, to: usize, spare: usize): void {
  const format = whole(args, slot.FORMAT), width = whole(args, slot.COLUMNS), dots = dotsOf(args);
  const step = stride(args, slot.X_ELEMENT);
  let a = address(args, slot.X) + <usize>group * stride(args, slot.X_GROUP) + <usize>row * stride(args, slot.X_ROW);
  for (let i = 0; i < m; i++, a += stride(args, slot.X_ROW)) {
    let x = a;
    if (step != 4) {
      gatherRow(spare, a, step, width);
      x = spare;
    }
    align(dots, format, to + <usize>(i / TILE) * alignedBytes(dots, format, width), i % TILE, x, width);
  }
  if (m & 1) alignNone(dots, format, to + <usize>(m / TILE) * alignedBytes(dots, format, width), m % TILE, width);
}

/**
 * Columns of 8 bits that are multiplied between two readings where rows are few: while they are, the processor reads ahead by itself,
 * but not much further (LOG.md).
 */
const SHORT: i32 = 128;
const FEW: i32 = 16;

/** Bytes of a tile's panels that are read at once, front to back, before they are multiplied: half of a first-level cache. */
const NEAR: usize = 16384;

/**
 * Reads a byte of each line from `from` to `to` of a panel, and of those up to `last` bytes behind it. Lines that are asked for together
 * come together; those that are asked for between products keep the products waiting one by one. Of panels that do not fit at once, parts
 * are asked for where products are slow enough to wait for them: not where bytes are multiplied by one instruction.
 */
function fetch(panel: usize, from: usize, to: usize, last: usize, bytes: usize): void {
  for (; from < to; from += 64) for (let apart: usize = 0; apart <= last; apart += bytes) load<u8>(panel + from + apart);
}

/** Sums of `count` panels from `panel` on, for `m` rows of activations. */
function sumPanels(args: usize, panel: usize, count: i32, width: i32, m: i32, x: usize, space: usize): void {
  const format = whole(args, slot.FORMAT), dots = dotsOf(args);
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  // Panels that are not there are the last one again: nobody reads their sums.
  const last = <usize>(count - 1) * bytes;
  const second = min(bytes, last), third = min(2 * bytes, last);
  const all = <usize>(m + 1 & -2) * LANES;
  memory.fill(space + SUMS, 0, all);
  const near = last + bytes <= NEAR, part = bytes * WIDENED / <usize>width;
  if (near) fetch(panel, 0, last + bytes, 0, 1);
  const deep = dots && format == Q8_0 && m <= FEW ? SHORT : WIDENED;
  const each = alignedBytes(dots, format, width), records = x + numberBytes(dots, format, width);
  for (let from = 0; from < width; from += deep) {
    const n = min(deep, width - from), at = part * <usize>(from / WIDENED);
    if (!near && !dots) fetch(panel, at, min(bytes, at + part), last, bytes);
    widen(dots, format, panel, bytes, count, from, n, space);
    if (format == Q4_K || format == Q6_K) memory.fill(space + BLOCK, 0, all);
    if (format == Q4_K) memory.fill(space + LOWER, 0, all);
    let aligned = x + numberBytes(dots, format, from), record = records + <usize>(from >> 5) * RECORD;
    for (let i = 0; i < m; i += TILE, aligned += each, record += each) {
      if (format == Q8_0 && !dots) {
        const sum = space + SUMS + <usize>i * LANES;
        const w = panel + <usize>(from >> 6) * 272;
        if (m - i > 2) addWhole4(n >> 5, w, second, third, last, space + SCALES, aligned, record, sum);
        else addWhole2(n >> 5, w, second, third, last, space + SCALES, aligned, record, sum);
      } else strip(dots, format, m - i > 2, n >> 5, space, aligned, record, <usize>i * LANES);
    }
    if (format == Q4_K || format == Q6_K) addSuper(space, m, format == Q4_K);
  }
}

/** One widened strip of columns for TILE rows of activations, or two (not `four`), whose sums lie `at` bytes behind the first. */
function strip(
  dots: bool, format: i32, four: bool, blocks: i32, space: usize, x: usize, record: usize, at: usize,
): void {
  const scales = space + SCALES, minima = space + MINIMA;
  if (format == Q6_K) sixteens(dots, four, space, x, record, space + BLOCK + at);
  else if (format == Q4_K || format == Q4_1) {
    const sum = space + (format == Q4_K ? BLOCK : SUMS) + at, g = space + (format == Q4_K ? LOWER : SUMS) + at;
    if (dots && four) dotRaised4(blocks, space, scales, minima, x, record, sum, g);
    else if (dots) dotRaised2(blocks, space, scales, minima, x, record, sum, g);
    else if (four) addRaised4(blocks, space, scales, minima, x, record, sum, g);
    else addRaised2(blocks, space, scales, minima, x, record, sum, g);
  } else if (dots && four) dotLaid4(blocks, space, scales, x, record, space + SUMS + at);
  else if (dots) dotLaid2(blocks, space, scales, x, record, space + SUMS + at);
  else if (four) addNibbles4(blocks, space, scales, x, record, space + SUMS + at);
  else addNibbles2(blocks, space, scales, x, record, space + SUMS + at);
}

/** Blocks of 16 columns: of each half's four runs the first, then the others, as `widen` lays them. */
function sixteens(dots: bool, four: bool, space: usize, x: usize, record: usize, sum: usize): void {
  let w = space, scales = space + SCALES;
  const half = numberBytes(dots, Q6_K, 16);
  for (let i = 0; i < 2; i++, x += 8 * half, record += 4 * RECORD)
    for (let part: usize = 0; part < 2; part++, w += 16 * LANES, scales += 4 * LANES) {
      const start = record + 16 + (part << 4);
      if (dots && four) dotSixes4(4, w, scales, x + part * half, start, record, sum);
      else if (dots) dotSixes2(4, w, scales, x + part * half, start, record, sum);
      else if (four) addSixes4(4, w, scales, x + part * half, start, record, sum);
      else addSixes2(4, w, scales, x + part * half, start, record, sum);
    }
}

/** Adds what a super-block's blocks came to, scaled, and takes its minima away. */
function addSuper(space: usize, m: i32, raised: bool): void {
  for (let lane: usize = 0; lane < LANES; lane += 16) {
    const scale = v128.load(space + OUTER + lane), least = v128.load(space + OUTER + LANES + lane);
    let at = space + lane;
    for (let i = 0; i < m; i++, at += LANES) {
      let sum = madd(v128.load(at + BLOCK), scale, v128.load(at + SUMS));
      if (raised) sum = f32x4.sub(sum, f32x4.mul(v128.load(at + LOWER), least));
      v128.store(at + SUMS, sum);
    }
  }
}

/** Writes the sums of `count` panels, for `m` rows of activations from `row` on. */
function putSums(args: usize, group: i32, row: i32, m: i32, panel: i32, count: i32, sums: usize): void {
  const step = stride(args, slot.OUT_ELEMENT), below = stride(args, slot.OUT_ROW);
  const inner = whole(args, slot.INNER), add = whole(args, slot.ADD);
  let lane = panel << 2;
  let to = address(args, slot.OUT) + <usize>group * stride(args, slot.OUT_GROUP) + <usize>row * below + <usize>lane * step;
  const plain = step == 4 && !add;
  for (const end = sums + (<usize>count << 4); sums < end; sums += 16, lane += 4, to += step << 2) {
    const rows = min(4, inner - lane);
    let out = to;
    const last = sums + <usize>m * LANES;
    if (plain && rows == 4) for (let at = sums; at < last; at += LANES, out += below) v128.store(out, v128.load(at));
    else for (let at = sums; at < last; at += LANES, out += below) put(v128.load(at), out, step, rows, add);
  }
}
