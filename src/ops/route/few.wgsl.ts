import type { Choice } from "./index.ts";

// A router's choice made by every subgroup for itself, without memory of the workgroup: by those who are about to run the experts.

/** Scores that a thread keeps, at most. */
const MOST = 128;

/** Whether subgroups of at least so many threads (0: there are none) may choose among x experts. */
export const choosesAlone = (x: number, subgroup: number) => subgroup > 0 && x <= MOST * subgroup;

/**
 * WGSL `choose(row, lane, lanes)`: expert `chosen[n]` is the n-th that the token of this row of `logits` chooses, and `weights[n]` its
 * weight. The choice is that of `routeRows` (rows.ts): the first of the greatest, the last of the least groups goes first, and what is
 * no number is never it. OUT stands for what is out. `subgroup`: threads of one at least; `p.factor` and the buffer `bias` are the
 * launch's.
 */
export function chooseCode(
  { scores, perToken, groups, perGroup, normalised }: Choice,
  x: number,
  { bias, subgroup }: { readonly bias: boolean; readonly subgroup: number },
): string {
  const own = Math.ceil(x / subgroup);
  const size = x / groups;
  const softmax = scores === "softmax";
  const pick = `score_of(at + i)${bias ? " + bias[p.bias_at + i]" : ""}`;
  return /* wgsl */ `
const OUT = -3.4e38;
var<private> chosen: array<u32, ${perToken}>;
var<private> weights: array<f32, ${perToken}>;
var<private> most: f32 = 0;
var<private> total: f32 = 1;
fn score_of(at: u32) -> f32 { return ${softmax ? "exp(logits[at] - most) / total" : "1 / (1 + exp(-logits[at]))"}; }
fn choose(row: u32, lane: u32, lanes: u32) {
  let at = p.logits_at + row * ${x};
  ${
    softmax
      ? `var peak = OUT;
  for (var i = lane; i < ${x}; i += lanes) { peak = max(peak, logits[at + i]); }
  most = subgroupMax(peak);
  var sum = 0.0;
  for (var i = lane; i < ${x}; i += lanes) { sum += exp(logits[at + i] - most); }
  total = subgroupAdd(sum);`
      : ""
  }
  var picked = array<f32, ${own}>();
  for (var k = 0u; k < ${own}; k++) {
    let i = k * lanes + lane;
    picked[k] = OUT;
    if (i < ${x}) { picked[k] = ${pick}; }
  }
${groups > perGroup ? groupsCode({ own, groups, perGroup, size, softmax }) : ""}
  var all = 0.0;
  for (var n = 0u; n < ${perToken}; n++) {
    var value = OUT;
    var place = ${x}u;
    for (var k = 0u; k < ${own}; k++) {
      if (picked[k] > value) { value = picked[k]; place = k * lanes + lane; }
    }
    let best = subgroupMax(value);
    let first = subgroupMin(select(${x}u, place, value == best)) % ${x};
    if (first % lanes == lane) { picked[first / lanes] = OUT; }
    chosen[n] = first;
    weights[n] = score_of(at + first);
    all += weights[n];
  }
  // DeepSeek's own guard against a sum of 0.
  let factor = p.factor${normalised ? " / (all + 1e-20)" : ""};
  for (var n = 0u; n < ${perToken}; n++) { weights[n] *= factor; }
}`;
}

/** Groups by their best score, or for sigmoid scores the sum of their two best: those that are not picked go out. */
const groupsCode = (of: { own: number; groups: number; perGroup: number; size: number; softmax: boolean }) => `
  var best = array<f32, ${of.groups}>();
  for (var g = 0u; g < ${of.groups}; g++) {
    var one = OUT;
    var two = OUT;
    for (var k = 0u; k < ${of.own}; k++) {
      if ((k * lanes + lane) / ${of.size} != g) { continue; }
      if (picked[k] > one) { two = one; one = picked[k]; } else if (picked[k] > two) { two = picked[k]; }
    }
    let top = subgroupMax(one);
    ${
      of.softmax
        ? "best[g] = top;"
        : `// The second is the same thread's own second, or another thread's first.
    let owner = subgroupMin(select(0xffffffffu, lane, one == top));
    best[g] = top + subgroupMax(select(one, two, lane == owner));`
    }
  }
  for (var left = ${of.groups - of.perGroup}u; left > 0; left--) {
    var worst = 0u;
    for (var g = 1u; g < ${of.groups}; g++) { if (best[g] <= best[worst]) { worst = g; } }
    best[worst] = -OUT;
  }
  for (var k = 0u; k < ${of.own}; k++) {
    if (best[min((k * lanes + lane) / ${of.size}, ${of.groups - 1}u)] == -OUT) { picked[k] = OUT; }
  }`;
