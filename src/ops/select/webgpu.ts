import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { Absorbing } from "../attend/gpu/absorb.wgsl.ts";
import { type Heads, headNumbers, headsCode } from "../attend/gpu/heads.wgsl.ts";
import { type Reading, type Rows, read } from "../attend/gpu/read.wgsl.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { THREADS as SCORERS } from "../einsum/few.wgsl.ts";
import type { SelectCall, SelectKernel } from "./index.ts";

/** Threads of a workgroup that chooses, and values of one digit of a score. */
const THREADS = 256;
/** Scores that wait to be chosen from, at most: queries are taken so many at a time. */
const WAITING = 1 << 22;

const head = `@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {`;

const sizes = { row: "u32", rows: "u32", t: "u32", s: "u32", scale: "f32" } as const;

/** Keys that the query of a row sees: those before it, or all. */
const visible = (causal: unknown) =>
  `fn visible(row: u32) -> u32 { return ${causal ? "u32(max(0, min(i32(p.s), i32(row % p.t) + i32(p.s) - i32(p.t) + 1)))" : "p.s"}; }`;

/**
 * Scores of some rows' keys, as whole numbers in the same order; a thread for each. Keys are read where they lie. The first workgroups
 * multiply heads' rows, where queries are to be absorbed meanwhile.
 */
const scoreShader = ({ causal, width, heads }: SelectCall, reading: Reading, beside: Heads | undefined): Shader => {
  const others = beside && [beside.format, beside.lanes, beside.width];
  return shaderOf("selectScores", JSON.stringify([reading.key, causal, width, heads, others]), () => ({
    reads: { ...reading.reads, ...(beside ? { a: "f32" as const, b: "u32" as const } : {}) },
    writes: { scores: "u32", ...(beside ? { c: "f32" as const } : {}) },
    numbers: { ...reading.numbers, ...sizes, ...(beside ? headNumbers : {}) },
    code(constants) {
      const product = beside && headsCode(beside, constants);
      return /* wgsl */ `${reading.code}
${visible(causal)}
${
  product
    ? `${product.memory}
fn absorb(id: u32, thread: u32) {
  let row = id / p.blocks;
  let block = id % p.blocks;
  for (var i = thread; i < ${Math.ceil(beside.width / 4)}; i += ${SCORERS}) {
    for (var j = 0u; j < min(4, ${beside.width} - 4 * i); j++) { whole[i][j] = a[p.a_at + row * ${beside.width} + 4 * i + j]; }
  }
  ${product.multiply}
}`
    : ""
}
${mainOf(SCORERS, product && constants.SUBGROUP)}
  ${product ? "if (line(group, groups) < p.all) { absorb(line(group, groups), thread); return; }" : ""}
  let number = (line(group, groups)${product ? " - p.all" : ""}) * ${SCORERS} + thread;
  if (number >= p.rows * p.s) { return; }
  let row = p.row + number / p.s;
  let key = number % p.s;
  if (key >= visible(row)) { return; }
  var sum = 0.0;
  for (var j = 0u; j < ${heads}; j++) {
    var product = 0.0;
    for (var i = 0u; i < ${Math.ceil(width / 4)}; i++) { product += dot(q(row, j, i), k(row / p.t * p.s + key, 0, i)); }
    sum += weights(row * ${heads} + j) * max(0, p.scale * product);
  }
  // Zeros of either sign are equal.
  let bits = select(bitcast<u32>(sum), 0, sum == 0);
  scores[p.scores_at + number] = bits ^ select(0x80000000u, 0xffffffffu, bits >> 31 == 1);
}`;
    },
  }));
};

/**
 * The highest scores of a row, a workgroup for each: their least is found digit by digit, 8 bits at a time, by counting; then keys go
 * by in order, and of those whose score is that least the first are taken.
 */
const choose: Shader = {
  name: "select",
  reads: { scores: "u32" },
  writes: { chosen: "f32", missing: "f32" },
  numbers: { row: "u32", rows: "u32", t: "u32", s: "u32", count: "u32" },
  code: ({ CAUSAL }) => /* wgsl */ `
${visible(CAUSAL)}
var<workgroup> counts: array<atomic<u32>, ${THREADS}>;
var<workgroup> sums: array<u32, ${THREADS}>;
var<workgroup> digit: u32;
var<workgroup> above: u32;
/** The sum of x over threads up to this one. */
fn running(x: u32, thread: u32) -> u32 {
  workgroupBarrier();
  sums[thread] = x;
  workgroupBarrier();
  var sum = x;
  for (var step = 1u; step < ${THREADS}; step *= 2) {
    if (thread >= step) { sum += sums[thread - step]; }
    workgroupBarrier();
    sums[thread] = sum;
    workgroupBarrier();
  }
  return sum;
}
${head}
  let line_number = line(group, groups);
  if (line_number >= p.rows) { return; }
  let row = p.row + line_number;
  let begin = p.scores_at + line_number * p.s;
  let seen = visible(row);
  let taken = min(seen, p.count);
  let to = p.chosen_at + row * p.count;
  for (var i = thread; i < p.count - taken; i += ${THREADS}) { chosen[to + i] = -1; }
  if (thread == 0) { missing[p.missing_at + row] = f32(p.count - taken); }
  if (taken == 0) { return; }
  var least = 0u;
  var wanted = taken;
  if (seen > taken) {
    for (var shift = 24i; shift >= 0; shift -= 8) {
      atomicStore(&counts[thread], 0);
      workgroupBarrier();
      for (var i = thread; i < seen; i += ${THREADS}) {
        let x = scores[begin + i];
        if (shift == 24 || x >> u32(shift + 8) == least) { atomicAdd(&counts[(x >> u32(shift)) & 255], 1); }
      }
      workgroupBarrier();
      // Threads in reverse: how many have a digit of at least this one.
      let own = 255 - thread;
      let here = atomicLoad(&counts[own]);
      let upto = running(here, thread);
      if (upto >= wanted && upto - here < wanted) { digit = own; above = upto - here; }
      workgroupBarrier();
      least = (least << 8) | digit;
      wanted -= above;
      workgroupBarrier();
    }
  }
  var equal = 0u;
  var found = to + p.count - taken;
  for (var first = 0u; first < seen; first += ${THREADS}) {
    let key = first + thread;
    let x = select(0, scores[begin + min(key, seen - 1)], key < seen);
    let tie = key < seen && x == least && seen > taken;
    let ties = running(u32(tie), thread);
    let more = sums[${THREADS - 1}];
    let take = key < seen && (seen == taken || x > least || (tie && equal + ties <= wanted));
    let place = running(u32(take), thread);
    if (take) { chosen[found + place - 1] = f32(key); }
    found += sums[${THREADS - 1}];
    equal += more;
  }
}`,
};

export const selectWebgpu: SelectKernel = (call, { rows, missing }) => {
  const { q, k, weights, batch, t, s, heads, width, scale, count, causal } = call;
  if (missing.size === 0) return;
  const device = rows.device as WebgpuDevice;
  const together = Math.max(1, Math.min(batch * t, Math.floor(WAITING / Math.max(1, s))));
  const scores = new Tensor(device, [together * s]);
  const operands: readonly Rows[] = [
    { name: "q", x: q, e: width, g: heads },
    { name: "k", x: k, e: width, g: 1 },
  ];
  // What is bound besides: scores, and where queries are absorbed meanwhile, their rows, the matrices and the result.
  const reading = read(device, operands, { weights }, device.traits.bindings - 4);
  const beside = device.withheld instanceof Absorbing ? device.withheld : undefined;
  if (beside) device.take();
  for (let row = 0; row < batch * t; row += together) {
    const some = Math.min(together, batch * t - row);
    const given = { row, rows: some, t, s };
    const pairs = Math.ceil((some * s) / SCORERS);
    const first = row === 0 ? beside : undefined;
    device.launch(
      scoreShader(call, reading, first?.heads),
      {},
      { ...reading.operands, scores, ...(first && { a: first.a, ...first.heads.operands }) },
      { ...reading.given, ...given, scale, ...first?.heads.numbers },
      groupsFor(pairs + (first?.heads.numbers.all ?? 0)),
    );
    const numbers = { ...given, count };
    device.launch(choose, { CAUSAL: causal }, { scores, chosen: rows, missing }, numbers, groupsFor(some));
  }
  reading.free();
  scores.free();
};
