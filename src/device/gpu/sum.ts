// Sums in a fixed order, so that a result does not depend on which threads were first.

/** `sumAll(x, thread)`: the sum of x over a workgroup of so many threads (a power of two), known to all of them. */
export const groupSum = (threads: number) => /* wgsl */ `
var<workgroup> sums: array<f32, ${threads}>;
fn sumAll(x: f32, thread: u32) -> f32 {
  sums[thread] = x;
  workgroupBarrier();
  for (var n = ${threads / 2}u; n > 0; n /= 2) {
    if (thread < n) { sums[thread] += sums[thread + n]; }
    workgroupBarrier();
  }
  let total = sums[0];
  workgroupBarrier();
  return total;
}`;

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
