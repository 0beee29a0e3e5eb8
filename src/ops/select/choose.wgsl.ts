import type { Span } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { SelectCall } from "./index.ts";

// The choice of keys by their scores, made by a workgroup for one row: by a launch of its own, or by those who are about to attend.

/** Values of one digit of a score. */
const DIGITS = 256;

/** A choice that is about to be made, by scores that nobody else needs: the launch waits for what comes next. */
export class Choosing {
  readonly scores: Tensor;
  readonly operands: Readonly<Record<"chosen" | "missing", Span>>;
  readonly call: SelectCall;

  constructor(scores: Tensor, operands: Choosing["operands"], call: SelectCall) {
    [this.scores, this.operands, this.call] = [scores, operands, call];
  }

  /** Whether these are the keys that it chooses. */
  gives({ block, start, size }: Tensor): boolean {
    const { chosen } = this.operands;
    return chosen.block === block && chosen.start === start && chosen.size === size;
  }
}

/** WGSL `visible_keys(row)`: how many keys the query of a row sees, those before it or all. */
export const visibleKeys = (causal: unknown) =>
  `fn visible_keys(row: u32) -> u32 { return ${causal ? "u32(max(0, min(i32(p.s), i32(row % p.t) + i32(p.s) - i32(p.t) + 1)))" : "p.s"}; }`;

/** Bytes of a workgroup's memory that the choice takes. */
export const chooseBytes = (threads: number) => 4 * (DIGITS + threads + 2);

/**
 * WGSL `choose(row, begin, count, thread)`, by a workgroup of so many threads (a divisor of 256): the `count` keys of the highest scores,
 * of those from word `begin` of buffer `scores` on, go to `put(row, place, key)` in their order, and -1 before them where there are fewer. The
 * least of the scores is found digit by digit, 8 bits at a time, by counting; then keys go by in order, and of those whose score is that
 * least the first are taken.
 */
export const chooseCode = (threads: number, causal: unknown, scores = "scores") => /* wgsl */ `
${visibleKeys(causal)}
var<workgroup> counts: array<atomic<u32>, ${DIGITS}>;
var<workgroup> running_sums: array<u32, ${threads}>;
var<workgroup> digit: u32;
var<workgroup> above: u32;
/** The sum of x over threads up to this one. */
fn running(x: u32, thread: u32) -> u32 {
  workgroupBarrier();
  running_sums[thread] = x;
  workgroupBarrier();
  var sum = x;
  for (var step = 1u; step < ${threads}; step *= 2) {
    if (thread >= step) { sum += running_sums[thread - step]; }
    workgroupBarrier();
    running_sums[thread] = sum;
    workgroupBarrier();
  }
  return sum;
}
fn choose(row: u32, begin: u32, count: u32, thread: u32) {
  let seen = visible_keys(row);
  let taken = min(seen, count);
  for (var i = thread; i < count - taken; i += ${threads}) { put(row, i, -1); }
  if (taken == 0) { return; }
  var least = 0u;
  var wanted = taken;
  if (seen > taken) {
    for (var shift = 24i; shift >= 0; shift -= 8) {
      for (var i = thread; i < ${DIGITS}; i += ${threads}) { atomicStore(&counts[i], 0); }
      workgroupBarrier();
      for (var i = thread; i < seen; i += ${threads}) {
        let x = ${scores}[begin + i];
        if (shift == 24 || x >> u32(shift + 8) == least) { atomicAdd(&counts[(x >> u32(shift)) & 255], 1); }
      }
      workgroupBarrier();
      // Threads in reverse, each with some digits: how many keys have a digit of at least this one.
      var here = 0u;
      for (var i = 0u; i < ${DIGITS / threads}; i++) { here += atomicLoad(&counts[255 - ${DIGITS / threads} * thread - i]); }
      var upto = running(here, thread) - here;
      for (var i = 0u; i < ${DIGITS / threads}; i++) {
        let own = 255 - ${DIGITS / threads} * thread - i;
        let more = atomicLoad(&counts[own]);
        if (upto < wanted && upto + more >= wanted) { digit = own; above = upto; }
        upto += more;
      }
      workgroupBarrier();
      least = (least << 8) | digit;
      wanted -= above;
      workgroupBarrier();
    }
  }
  var equal = 0u;
  var found = count - taken;
  for (var first = 0u; first < seen; first += ${threads}) {
    let key = first + thread;
    let x = select(0, ${scores}[begin + min(key, seen - 1)], key < seen);
    let tie = key < seen && x == least && seen > taken;
    let ties = running(u32(tie), thread);
    let more = running_sums[${threads - 1}];
    let take = key < seen && (seen == taken || x > least || (tie && equal + ties <= wanted));
    let place = running(u32(take), thread);
    if (take) { put(row, found + place - 1, i32(key)); }
    found += running_sums[${threads - 1}];
    equal += more;
  }
}`;
