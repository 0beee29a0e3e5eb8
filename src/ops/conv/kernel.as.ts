// Causal short convolution of each channel by itself, and its gradients.
import { address, first, next, piecesOf, scratch, share, shared, whole } from "../../device/thread.as";
import { addRow, addTaps, tap, taps } from "./taps.as";
import * as slot from "./slot";

/** Channels worked on at a time, so that the rows under all taps stay in the nearest cache. */
const STRIP: i32 = 512;
const STRIP_BYTES: usize = 2048;
/** Rows that one thread takes at a time. */
const BLOCK: i32 = 64;

export function conv(args: usize, thread: i32): void {
  const bias = address(args, slot.BIAS);
  const before = address(args, slot.BEFORE);
  const rows = whole(args, slot.ROWS);
  const t = whole(args, slot.T);
  const channels = whole(args, slot.CHANNELS);
  const width = whole(args, slot.WIDTH);
  const row = <usize>channels << 2;
  const w = scratch(thread);
  const zeros = zerosOf(thread);
  const strips = (channels + STRIP - 1) / STRIP;
  const blocks = (rows + BLOCK - 1) / BLOCK;
  for (let piece = first(strips * blocks); piece < strips * blocks; piece = next()) {
    const from = (piece / blocks) * STRIP;
    const skip = <usize>from << 2;
    const n = min(STRIP, channels - from);
    turn(n, width, address(args, slot.W) + skip * <usize>width, w);
    const above = (piece % blocks) * BLOCK;
    const to = min(rows, above + BLOCK);
    const start = bias ? bias + skip : zeros;
    for (let i = above; i < to; i++) {
      const at = <usize>i * row + skip;
      const out = address(args, slot.OUT) + at;
      const x = address(args, slot.X) + at;
      const place = i % t;
      if (place >= width - 1 && place + 1 < t && i + 1 < to) {
        tapPair(n, width, out, start, x - <usize>(width - 1) * row, row, w, STRIP_BYTES);
        i++;
      } else convRow(n, width, place, out, start, x, row, w, before ? before + skip : 0);
    }
  }
}

/** Two rows that see only rows of their own sequence: out = start + w x + w1 x1 + ..., and the same one row on. */
function tapPair(n: i32, width: i32, out: usize, start: usize, x: usize, row: usize, w: usize, next: usize): void {
  let sum = start;
  let apart: usize = 0;
  let k = 0;
  for (; k + 4 <= width; k += 4, x += 4 * row, w += 4 * next) {
    taps(n, out, sum, apart, x, row, w, next);
    sum = out;
    apart = row;
  }
  for (; k < width; k++, x += row, w += next) {
    tap(n, out, sum, x, w);
    tap(n, out + row, sum + apart, x + row, w);
    sum = out;
    apart = row;
  }
}

/** One row, the `place`th of its sequence: out = start + sum over k of w[k] x[k - width + 1], rows `row` bytes apart. */
function convRow(
  n: i32, width: i32, place: i32, out: usize, start: usize, x: usize, row: usize, w: usize, before: usize,
): void {
  let sum = start;
  for (let k = 0; k < width; k++, w += STRIP_BYTES) {
    const own = k >= width - 1 - place;
    if (!own && !before) continue;
    tap(n, out, sum, own ? x - <usize>(width - 1 - k) * row : before + <usize>(place + k) * row, w);
    sum = out;
  }
}

/**
 * Rows are summed into dw and dbias in `runs` runs, whatever the number of threads; a run's sums are `[width + 1, channels]`,
 * bias last.
 */
export function convBackward(args: usize, thread: i32): void {
  const dx = address(args, slot.OUT);
  const dw = address(args, slot.DW);
  const dbias = address(args, slot.BIAS);
  const before = address(args, slot.BEFORE);
  const rows = whole(args, slot.ROWS);
  const t = whole(args, slot.T);
  const channels = whole(args, slot.CHANNELS);
  const width = whole(args, slot.WIDTH);
  const runs = whole(args, slot.RUNS);
  const row = <usize>channels << 2;
  const w = scratch(thread);
  const zeros = zerosOf(thread);
  const strips = (channels + STRIP - 1) / STRIP;
  for (let piece = first(runs * strips); piece < runs * strips; piece = next()) {
    const run = piece / strips;
    const from = (piece % strips) * STRIP;
    const skip = <usize>from << 2;
    const n = min(STRIP, channels - from);
    const sums = sumsOf(run, width, row) + skip;
    if (dx) turn(n, width, address(args, slot.W) + skip * <usize>width, w);
    if (dw || dbias) for (let k = 0; k <= width; k++) memory.fill(sums + <usize>k * row, 0, <usize>n << 2);
    const to = share(rows, run + 1, runs);
    for (let i = share(rows, run, runs); i < to; i++) {
      const at = <usize>i * row + skip;
      const place = i % t;
      const x = address(args, slot.X) + at;
      const g = address(args, slot.G) + at;
      const pair = place >= width - 1 && place + width < t && i + 1 < to;
      if (pair) {
        if (dx) tapPair(n, width, dx + at, zeros, g, row, w + <usize>(width - 1) * STRIP_BYTES, 0 - STRIP_BYTES);
        if (dw) sumPair(n, width, sums, x - <usize>(width - 1) * row, g, row);
        i++;
      } else {
        if (dx) backRow(n, min(width, t - place), dx + at, zeros, g, row, w + <usize>(width - 1) * STRIP_BYTES);
        if (dw) sumRow(n, width, place, sums, x, g, row, before ? before + skip : 0);
      }
      if (!dbias) continue;
      addRow(n, sums + <usize>width * row, g);
      if (pair) addRow(n, sums + <usize>width * row, g + row);
    }
  }
}

/** After convBackward: adds up dw and dbias of all runs. */
export function convRuns(args: usize, _thread: i32): void {
  const channels = whole(args, slot.CHANNELS);
  const strips = address(args, slot.DW) || address(args, slot.BIAS) ? piecesOf(channels, STRIP) : 0;
  for (let piece = first(strips); piece < strips; piece = next())
    sumRuns(piece * STRIP, min(STRIP, channels - piece * STRIP), args);
}

function sumRuns(from: i32, n: i32, args: usize): void {
  const dw = address(args, slot.DW);
  const dbias = address(args, slot.BIAS);
  const width = whole(args, slot.WIDTH);
  const runs = whole(args, slot.RUNS);
  const row = <usize>whole(args, slot.CHANNELS) << 2;
  const all = sumsOf(0, width, row) + (<usize>from << 2);
  for (let run = 1; run < runs; run++)
    for (let k = 0; k <= width; k++) addRow(n, all + <usize>k * row, all + <usize>(run * (width + 1) + k) * row);
  if (dbias) memory.copy(dbias + (<usize>from << 2), all + <usize>width * row, <usize>n << 2);
  if (!dw) return;
  const to = dw + <usize>(from * width << 2);
  for (let c = 0; c < n; c++)
    for (let k = 0; k < width; k++)
      store<f32>(to + (<usize>(c * width + k) << 2), load<f32>(all + <usize>k * row + (<usize>c << 2)));
}

/** One row: dx = sum over m of w[width - 1 - m] g[m], as far as its sequence reaches; `w` is the last tap. */
function backRow(n: i32, reach: i32, dx: usize, zeros: usize, g: usize, row: usize, w: usize): void {
  for (let m = 0; m < reach; m++, g += row, w -= STRIP_BYTES) tap(n, dx, m ? dx : zeros, g, w);
}

/** One row: sums[k] += g x[k - width + 1]. */
function sumRow(n: i32, width: i32, place: i32, sums: usize, x: usize, g: usize, row: usize, before: usize): void {
  for (let k = 0; k < width; k++, sums += row) {
    if (k >= width - 1 - place) tap(n, sums, sums, g, x - <usize>(width - 1 - k) * row);
    else if (before) tap(n, sums, sums, g, before + <usize>(place + k) * row);
  }
}

/** Two rows that see only rows of their own sequence: sums[k] += g x[k] + g[1] x[k + 1]. */
function sumPair(n: i32, width: i32, sums: usize, x: usize, g: usize, row: usize): void {
  let k = 0;
  for (; k + 4 <= width; k += 4, sums += 4 * row, x += 4 * row) addTaps(n, sums, row, g, x, row);
  for (; k < width; k++, sums += row, x += row) {
    tap(n, sums, sums, g, x);
    tap(n, sums, sums, g + row, x + row);
  }
}

/** Where the sums of a run begin. */
function sumsOf(run: i32, width: i32, row: usize): usize {
  return shared() + <usize>(run * (width + 1)) * row;
}

/** A strip of zeros behind the taps in this thread's scratch memory. */
function zerosOf(thread: i32): usize {
  const zeros = scratch(thread) + 8 * STRIP_BYTES;
  memory.fill(zeros, 0, STRIP_BYTES);
  return zeros;
}

/** w `[n, width]` as `[width, STRIP]`, so that neighbouring channels lie side by side. */
function turn(n: i32, width: i32, w: usize, out: usize): void {
  if (width == 4) {
    for (; n >= 4; n -= 4, w += 64, out += 16) turnFour(w, out);
  }
  for (let c = 0; c < n; c++)
    for (let k = 0; k < width; k++)
      store<f32>(out + <usize>k * STRIP_BYTES + (<usize>c << 2), load<f32>(w + (<usize>(c * width + k) << 2)));
}

function turnFour(w: usize, out: usize): void {
  const a = v128.load(w);
  const b = v128.load(w, 16);
  const c = v128.load(w, 32);
  const d = v128.load(w, 48);
  const e = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const f = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const g = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const h = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<f32>(e, f, 0, 1, 4, 5));
  v128.store(out, v128.shuffle<f32>(e, f, 2, 3, 6, 7), 2048);
  v128.store(out, v128.shuffle<f32>(g, h, 0, 1, 4, 5), 4096);
  v128.store(out, v128.shuffle<f32>(g, h, 2, 3, 6, 7), 6144);
}
