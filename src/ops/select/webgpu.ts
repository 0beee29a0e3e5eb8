import { placed } from "../../device/gpu/launcher.ts";
import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { Absorbing } from "../attend/gpu/absorb.wgsl.ts";
import { type Heads, headNumbers, headsCode } from "../attend/gpu/heads.wgsl.ts";
import { type Reading, type Rows, read } from "../attend/gpu/read.wgsl.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { THREADS as SCORERS } from "../einsum/few.wgsl.ts";
import { Choosing, chooseCode, visibleKeys } from "./choose.wgsl.ts";
import type { SelectCall, SelectKernel } from "./index.ts";

/** Threads of a workgroup that chooses. */
const THREADS = 256;
/** Scores that wait to be chosen from, at most: queries are taken so many at a time. */
const WAITING = 1 << 22;

const sizes = { row: "u32", rows: "u32", t: "u32", s: "u32", scale: "f32" } as const;

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
${visibleKeys(causal)}
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
  if (key >= visible_keys(row)) { return; }
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

/** The keys of a row, a workgroup for each. */
const choose: Shader = {
  name: "select",
  reads: { scores: "u32" },
  writes: { chosen: "f32", missing: "f32" },
  numbers: { row: "u32", rows: "u32", t: "u32", s: "u32", count: "u32" },
  code: ({ CAUSAL }) => /* wgsl */ `
${chooseCode(THREADS, CAUSAL)}
fn put(row: u32, place: u32, key: i32) { chosen[p.chosen_at + row * p.count + place] = f32(key); }
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.rows) { return; }
  let row = p.row + number;
  if (thread == 0) { missing[p.missing_at + row] = f32(p.count - min(visible_keys(row), p.count)); }
  choose(row, p.scores_at + number * p.s, p.count, thread);
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
    const operands = { chosen: placed(rows), missing: placed(missing) };
    const from = placed(scores);
    const chooseNow = () => {
      device.launch(choose, { CAUSAL: causal }, { scores: from, ...operands }, numbers, groupsFor(some));
      if (row + some === batch * t) scores.free();
    };
    // Attention over the keys that are chosen may choose them itself.
    if (some === batch * t) device.withhold(new Choosing(scores, operands, call), chooseNow);
    else chooseNow();
  }
  reading.free();
};
