// Contractions of a few rows of activations, more than one, with a packed weight of whole numbers: rows of both are rounded or
// widened to 16 bits once, and then multiplied tile by tile. Each sum is what `dot` makes of its row alone, bit for bit.
import { address, first, next, scratch, stride, whole } from "../../device/thread.as";
import { Q4_1, Q4_K, Q6_K } from "../../tensor/format";
import { madd } from "../simd.as";
import { gather } from "./activate.as";
import { align, alignedBytes, alignNone, numberBytes } from "./align.as";
import { put } from "./few.as";
import { ACTIVATED, ALIGNED, MOST, TILE } from "./size";
import * as slot from "./slot";
import { addBlocks2, addBlocks4, addHalves2, addHalves4, addRaised2, addRaised4, LANES, PANELS, RECORD } from "./tile.as";
import { MINIMA, OUTER, SCALES, widen, WIDENED } from "./widen.as";

/** out[m, group, row] = sum over columns of a[m, group, column] w[group, row, column], for m from 2 to MOST. */
export function packedTiles(args: usize, thread: i32): void {
  const width = whole(args, slot.COLUMNS);
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  const groups = whole(args, slot.GROUPS);
  const each = (whole(args, slot.INNER) + 3) >> 2;
  const run = whole(args, slot.RUN);
  const pieces = (each + run - 1) / run;
  const space = scratch(thread), x = space + ALIGNED;
  let ready = -1;
  for (let t = first(groups * pieces); t < groups * pieces; t = next()) {
    const group = t / pieces;
    if (ready < 0 || (ready != group && stride(args, slot.X_GROUP) != 0)) alignRows(args, group, x, space + ACTIVATED);
    ready = group;
    const from = (t - group * pieces) * run;
    const to = min(from + run, each);
    for (let p = from; p < to; p += PANELS) {
      const panel = address(args, slot.WEIGHT) + <usize>(group * each + p) * bytes;
      sumPanels(args, panel, min(PANELS, to - p), width, <usize>max(0, min(PANELS, to - p - PANELS)) * bytes, x, space);
      putSums(args, group, p, min(PANELS, to - p), space + SUMS);
    }
  }
}

/** Sums of all rows of activations, behind the widened strip; those of a super-block alone, and over its minima. */
const SUMS: usize = 256 * LANES;
const BLOCK: usize = SUMS + MOST * LANES;
const LOWER: usize = BLOCK + MOST * LANES;

function alignRows(args: usize, group: i32, to: usize, spare: usize): void {
  const width = whole(args, slot.COLUMNS);
  const m = whole(args, slot.ROWS);
  const step = stride(args, slot.X_ELEMENT);
  let a = address(args, slot.X) + <usize>group * stride(args, slot.X_GROUP);
  for (let i = 0; i < m; i++, a += stride(args, slot.X_ROW)) {
    let x = a;
    if (step != 4) {
      gather(spare, a, step, width);
      x = spare;
    }
    align(whole(args, slot.FORMAT), to + <usize>(i / TILE) * alignedBytes(width), i % TILE, x, width);
  }
  if (m & 1) alignNone(to + <usize>(m / TILE) * alignedBytes(width), m % TILE, width);
}

/** Sums of `count` panels from `panel` on, for all rows of activations; `ahead` bytes of the weight are read soon. */
function sumPanels(args: usize, panel: usize, count: i32, width: i32, ahead: usize, x: usize, space: usize): void {
  const format = whole(args, slot.FORMAT), m = whole(args, slot.ROWS);
  const bytes = <usize>whole(args, slot.PANEL_BYTES);
  let soon = panel + <usize>count * bytes;
  const end = soon + ahead, portion = ahead / ((width + WIDENED - 1) / WIDENED) + 64;
  const all = <usize>(m + 1 & -2) * LANES;
  memory.fill(space + SUMS, 0, all);
  for (let from = 0; from < width; from += WIDENED) {
    const n = min(WIDENED, width - from);
    widen(format, panel, bytes, count, from, n, space);
    // Fetched together while the tiles are computed, instead of one after the other when they are widened.
    for (const stop = min(end, soon + portion); soon < stop; soon += 64) load<u8>(soon);
    if (format == Q4_K || format == Q6_K) memory.fill(space + BLOCK, 0, all);
    if (format == Q4_K) memory.fill(space + LOWER, 0, all);
    for (let i = 0; i < m; i += TILE) {
      const numbers = x + <usize>(i / TILE) * alignedBytes(width);
      const at = numbers + (<usize>from << 3), record = numbers + numberBytes(width) + <usize>(from >> 5) * RECORD;
      strip(format, m - i > 2, n >> 5, space, at, record, <usize>i * LANES);
    }
    if (format == Q4_K || format == Q6_K) addSuper(space, m, format == Q4_K);
  }
}

/** One strip of columns for TILE rows of activations, or two (not `four`), whose sums lie `at` bytes behind the first. */
function strip(format: i32, four: bool, blocks: i32, space: usize, x: usize, record: usize, at: usize): void {
  const scales = space + SCALES, minima = space + MINIMA;
  if (format == Q6_K) sixteens(four, space, x, record, space + BLOCK + at);
  else if (format == Q4_K || format == Q4_1) {
    const sum = space + (format == Q4_K ? BLOCK : SUMS) + at, g = space + (format == Q4_K ? LOWER : SUMS) + at;
    if (four) addRaised4(blocks, space, scales, minima, x, record, sum, g);
    else addRaised2(blocks, space, scales, minima, x, record, sum, g);
  } else if (four) addBlocks4(blocks, space, scales, x, record, space + SUMS + at);
  else addBlocks2(blocks, space, scales, x, record, space + SUMS + at);
}

/** Blocks of 16 columns: of each half's four runs the first, then the others, as `widen` lays them. */
function sixteens(four: bool, space: usize, x: usize, record: usize, sum: usize): void {
  let w = space, scales = space + SCALES;
  for (let half: usize = 0; half < 2; half++, x += 1024, record += 4 * RECORD)
    for (let part: usize = 0; part < 2; part++, w += 32 * LANES, scales += 4 * LANES) {
      const start = record + 16 + (part << 4);
      if (four) addHalves4(4, w, scales, x + (part << 7), start, record, sum);
      else addHalves2(4, w, scales, x + (part << 7), start, record, sum);
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

/** Writes the sums of `count` panels, for all rows of activations. */
function putSums(args: usize, group: i32, panel: i32, count: i32, sums: usize): void {
  const step = stride(args, slot.OUT_ELEMENT), below = stride(args, slot.OUT_ROW);
  const m = whole(args, slot.ROWS), inner = whole(args, slot.INNER), add = whole(args, slot.ADD);
  let row = panel << 2;
  let to = address(args, slot.OUT) + <usize>group * stride(args, slot.OUT_GROUP) + <usize>row * step;
  const plain = step == 4 && !add;
  for (const end = sums + (<usize>count << 4); sums < end; sums += 16, row += 4, to += step << 2) {
    const rows = min(4, inner - row);
    let out = to;
    const last = sums + <usize>m * LANES;
    if (plain && rows == 4) for (let at = sums; at < last; at += LANES, out += below) v128.store(out, v128.load(at));
    else for (let at = sums; at < last; at += LANES, out += below) put(v128.load(at), out, step, rows, add);
  }
}
