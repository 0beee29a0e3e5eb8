// The highest of many words (signed whole numbers), the first where they are equal: three passes count how often the upper 11,
// the next 11 and the lowest 10 bits occur, which finds the lowest word that is taken; a fourth writes what reaches it.

import { BINS } from "./size";

/** Bytes that `choose` needs for its counts. */
const ROOM: usize = BINS << 2;

/** Words equal to the lowest one taken that are still to be taken. */
let need: i32 = 0;

/**
 * Writes the places of the `count` highest of the `n` words at `words`, ascending, as floats, to `to`, with -1 in front where
 * there are fewer. The last group of four words must be writable. Returns how many are lacking.
 */
export function choose(words: usize, n: i32, count: i32, bins: usize, to: usize): i32 {
  const lacking = max(0, count - n);
  for (let i = 0; i < lacking; i++, to += 4) store<f32>(to, -1);
  if (lacking || n == count) {
    for (let i = 0; i < n; i++, to += 4) store<f32>(to, <f32>i);
    return lacking;
  }
  const end = words + (<usize>n << 2), filled = (end + 15) & ~15;
  for (let at = end; at < filled; at += 4) store<i32>(at, i32.MIN_VALUE);
  need = count;
  memory.fill(bins, 0, ROOM);
  for (let at = words; at < filled; at += 4) countOne(bins, (load<i32>(at) >> 21) + BINS / 2);
  const upper = lowest(bins) - BINS / 2;
  countWithin(words, filled, 21, upper, 10, BINS - 1, bins);
  const middle = (upper << 11) | lowest(bins);
  countWithin(words, filled, 10, middle, 0, BINS / 2 - 1, bins);
  write(words, filled, (middle << 10) | lowest(bins), to);
  return lacking;
}

// @ts-ignore: decorator
@inline
function countOne(bins: usize, bin: i32): void {
  const at = bins + (<usize>bin << 2);
  store<i32>(at, load<i32>(at) + 1);
}

/** Counts the bits `mask`, moved up by `low`, of those words whose bits from `high` on are `prefix`. */
function countWithin(words: usize, end: usize, high: i32, prefix: i32, low: i32, mask: i32, bins: usize): void {
  memory.fill(bins, 0, ROOM);
  const wanted = i32x4.splat(prefix);
  for (; words < end; words += 16) {
    let found = i32x4.bitmask(i32x4.eq(i32x4.shr_s(v128.load(words), high), wanted));
    for (; found; found &= found - 1) countOne(bins, (load<i32>(words + (<usize>ctz(found) << 2)) >> low) & mask);
  }
}

/** The bin that the last of the words still needed lies in; those in higher ones are then no longer needed. */
function lowest(bins: usize): i32 {
  let at = bins + ROOM - 4;
  for (let n = load<i32>(at); n < need; n = load<i32>(at)) {
    need -= n;
    at -= 4;
  }
  return <i32>((at - bins) >> 2);
}

/** Writes the places of all words above `least`, and of the first `need` that are equal to it. */
function write(words: usize, end: usize, least: i32, to: usize): void {
  const bound = i32x4.splat(least);
  for (let at = words; at < end; at += 16) {
    let found = i32x4.bitmask(i32x4.ge_s(v128.load(at), bound));
    for (; found; found &= found - 1) {
      const place = at + (<usize>ctz(found) << 2);
      if (load<i32>(place) == least && need-- <= 0) continue;
      store<f32>(to, <f32>(<i32>((place - words) >> 2)));
      to += 4;
    }
  }
}
