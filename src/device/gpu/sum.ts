// Sums in a fixed order, so that a result does not depend on which threads were first.
import type { Traits } from "./adapter.ts";
import { type Constants, mainOf } from "./shader.ts";

/** WGSL: what `by` makes of one number per thread, of two at a time in a fixed order; every thread is told. */
const reduction = (threads: number, name: string, by: (a: string, b: string) => string) => /* wgsl */ `
fn ${name}(thread: u32, own: f32) -> f32 {
  workgroupBarrier();
  parts[thread] = own;
  for (var half = ${threads / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { parts[thread] = ${by("parts[thread]", "parts[thread + half]")}; }
  }
  workgroupBarrier();
  return parts[0];
}`;

/** The same where threads of a subgroup, of whatever size, need no memory to know of each other. */
const subgroupReduction = (name: string, within: string, by: (a: string, b: string) => string) => /* wgsl */ `
fn ${name}(thread: u32, own: f32) -> f32 {
  let all = ${within}(own);
  workgroupBarrier();
  if (subgroupElect()) { parts[subgroup_number] = all; }
  workgroupBarrier();
  var result = parts[0];
  for (var i = 1u; i < subgroup_count; i++) { result = ${by("result", "parts[i]")}; }
  return result;
}`;

const [plus, larger] = [(a: string, b: string) => `${a} + ${b}`, (a: string, b: string) => `max(${a}, ${b})`];

/**
 * `sum_of(thread, x)` and `most_of(thread, x)` over a workgroup of so many threads (a power of two), known to all of them. `SUBGROUP`:
 * the constant that tells a shader of subgroups (see `sourceOf`); its main begins as `mainOf` says.
 */
export const reductions = (threads: number, SUBGROUP: unknown) => /* wgsl */ `
var<workgroup> parts: array<f32, ${threads}>;
${SUBGROUP ? subgroupReduction("sum_of", "subgroupAdd", plus) : reduction(threads, "sum_of", plus)}
${SUBGROUP ? subgroupReduction("most_of", "subgroupMax", larger) : reduction(threads, "most_of", larger)}`;

/** Threads of a workgroup whose subgroups have a row each, and rows from which on that is worth it: fewer go faster by all of a workgroup. */
const [SIDE, MANY] = [64, 16];

/** How many workgroups have a subgroup for each of so many rows; undefined where a workgroup for each is the better way. */
export function groupsAside({ subgroup }: Pick<Traits, "subgroup">, rows: number): number | undefined {
  return subgroup && rows >= MANY ? Math.ceil(rows / Math.max(1, Math.floor(SIDE / subgroup.most))) : undefined;
}

/**
 * WGSL of a kernel that goes row by row, of `p.rows` in all: by a workgroup of so many threads, or where ASIDE by a subgroup, which needs
 * no memory of a workgroup and no barrier. `head` begins it: `row`, whether it is `there` and to be written, and which of its `lanes` a
 * thread is, `lane`; `sum` and `most` are over all of them.
 */
export function rowCode(threads: number, { ASIDE, SUBGROUP }: Constants) {
  if (!ASIDE)
    return {
      head: `${reductions(threads, SUBGROUP)}
${mainOf(threads, SUBGROUP)}
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  let there = true;
  let lane = thread;
  let lanes = ${threads}u;`,
      sum: (x: string) => `sum_of(thread, ${x})`,
      most: (x: string) => `most_of(thread, ${x})`,
    };
  return {
    // Those beyond the last row go the same way, since threads are to meet.
    head: `${mainOf(SIDE, SUBGROUP)}
  let place = line(group, groups) * subgroup_count + subgroup_number;
  let there = place < p.rows;
  let row = min(place, p.rows - 1);
  let lane = subgroup_thread;
  let lanes = subgroup_threads;`,
    sum: (x: string) => `subgroupAdd(${x})`,
    most: (x: string) => `subgroupMax(${x})`,
  };
}

/**
 * Sums as exact as in about twice the digits: `plus(sum, x)` with what rounding lost kept in `sum.y` (Knuth's two-sum), and
 * `join` of two such sums. A compiler that takes arithmetic for exact would find that nothing is lost: `keep` hides from it
 * what a number is, by `p.zero`, a number of the launch that is 0.
 */
export const exactSum = /* wgsl */ `
fn keep(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }
fn plus(sum: vec2f, x: f32) -> vec2f {
  let s = keep(sum.x + x);
  let part = keep(s - sum.x);
  let lost = keep(sum.x - keep(s - part)) + keep(x - part);
  return vec2f(s, sum.y + lost);
}
fn join(a: vec2f, b: vec2f) -> vec2f {
  let sum = plus(a, b.x);
  return vec2f(sum.x, sum.y + b.y);
}`;
