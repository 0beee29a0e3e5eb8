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

/** `sum_of(thread, x)` and `most_of(thread, x)` over a workgroup of so many threads (a power of two), known to all of them. */
export const reductions = (threads: number) => /* wgsl */ `
var<workgroup> parts: array<f32, ${threads}>;
${reduction(threads, "sum_of", (a, b) => `${a} + ${b}`)}
${reduction(threads, "most_of", (a, b) => `max(${a}, ${b})`)}`;

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
