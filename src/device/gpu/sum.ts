// Sums in a fixed order, so that a result does not depend on which threads were first.

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
