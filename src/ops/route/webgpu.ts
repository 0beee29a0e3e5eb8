import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Choice, RouteKernel } from "./index.ts";

/** Threads of a workgroup, which has one token. */
const THREADS = 64;
/** Bytes of shared memory beside eight for each expert. */
const BESIDE = 4096;

/**
 * The choice of `routeRows` (rows.ts): the first of the greatest is chosen, the last of the least groups goes first, and what is no
 * number is never it. OUT stands for what is out.
 */
const shader: Shader = {
  name: "route",
  reads: { logits: "f32", bias: "f32" },
  writes: { out: "f32" },
  numbers: { rows: "u32", factor: "f32" },
  code(constants) {
    const { X, GROUPS, PER_GROUP, PER_TOKEN, SOFTMAX, BIAS, NORMALISED, LISTED, SUBGROUP } = constants as Record<
      string,
      number
    >;
    const size = X! / GROUPS!;
    return /* wgsl */ `
const OUT = -3.4e38;
var<workgroup> scores: array<f32, ${X}>;
var<workgroup> picked: array<f32, ${X}>;
var<workgroup> best: array<f32, ${GROUPS}>;
var<workgroup> chosen: array<u32, ${PER_TOKEN}>;
var<workgroup> places: array<u32, ${THREADS}>;
var<workgroup> sum: f32;
${reductions(THREADS, SUBGROUP)}
/** A group's best score, or for sigmoid scores the sum of its two best. */
fn group_score(first: u32) -> f32 {
  var one = OUT;
  var two = OUT;
  for (var i = first; i < first + ${size}; i++) {
    let score = picked[i];
    if (score > one) { two = one; one = score; } else if (score > two) { two = score; }
  }
  return ${SOFTMAX ? "one" : "one + two"};
}
/** The first of the greatest that are still picked from. */
fn greatest(thread: u32) -> u32 {
  var value = OUT;
  var place = ${X}u;
  for (var i = thread; i < ${X}; i += ${THREADS}) {
    if (picked[i] > value) { value = picked[i]; place = i; }
  }
  parts[thread] = value;
  places[thread] = place;
  for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      let other = thread + half;
      if (parts[other] > parts[thread] || (parts[other] == parts[thread] && places[other] < places[thread])) {
        parts[thread] = parts[other];
        places[thread] = places[other];
      }
    }
  }
  workgroupBarrier();
  return places[0] % ${X};
}
${mainOf(THREADS, SUBGROUP)}
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  let at = p.logits_at + row * ${X};
${
  SOFTMAX
    ? `  var own = OUT;
  for (var i = thread; i < ${X}; i += ${THREADS}) { own = max(own, logits[at + i]); }
  let most = most_of(thread, own);
  own = 0;
  for (var i = thread; i < ${X}; i += ${THREADS}) {
    scores[i] = exp(logits[at + i] - most);
    own += scores[i];
  }
  let total = sum_of(thread, own);
  for (var i = thread; i < ${X}; i += ${THREADS}) { scores[i] /= total; }`
    : `  for (var i = thread; i < ${X}; i += ${THREADS}) { scores[i] = 1 / (1 + exp(-logits[at + i])); }`
}
  for (var i = thread; i < ${X}; i += ${THREADS}) { picked[i] = scores[i]${BIAS ? " + bias[p.bias_at + i]" : ""}; }
  workgroupBarrier();
${
  GROUPS! > PER_GROUP!
    ? `  for (var g = thread; g < ${GROUPS}; g += ${THREADS}) { best[g] = group_score(g * ${size}); }
  workgroupBarrier();
  if (thread == 0) {
    for (var left = ${GROUPS! - PER_GROUP!}u; left > 0; left--) {
      var worst = 0u;
      for (var g = 1u; g < ${GROUPS}; g++) { if (best[g] <= best[worst]) { worst = g; } }
      best[worst] = -OUT;
    }
  }
  workgroupBarrier();
  for (var i = thread; i < ${X}; i += ${THREADS}) { if (best[i / ${size}] == -OUT) { picked[i] = OUT; } }
  workgroupBarrier();`
    : ""
}
  if (thread == 0) { sum = 0; }
  for (var n = 0u; n < ${PER_TOKEN}; n++) {
    let place = greatest(thread);
    workgroupBarrier();
    if (thread == 0) {
      chosen[n] = place;
      sum += scores[place];
      picked[place] = OUT;
    }
    workgroupBarrier();
  }
  // DeepSeek's own guard against a sum of 0.
  let factor = p.factor${NORMALISED ? " / (sum + 1e-20)" : ""};
  ${
    LISTED
      ? `for (var n = thread; n < ${PER_TOKEN}; n += ${THREADS}) {
    ids[p.ids_at + row * ${PER_TOKEN} + n] = f32(chosen[n]);
    out[p.out_at + row * ${PER_TOKEN} + n] = scores[chosen[n]] * factor;
  }`
      : `for (var i = thread; i < ${X}; i += ${THREADS}) {
    var weight = 0.0;
    for (var n = 0u; n < ${PER_TOKEN}; n++) { if (chosen[n] == i) { weight = scores[i] * factor; } }
    out[p.out_at + row * ${X} + i] = weight;
  }`
  }
}`;
  },
};

/** The same as a list: the experts of each token in the order in which they are chosen, and their weights. */
const listing: Shader = {
  ...shader,
  name: "routeList",
  writes: { out: "f32", ids: "f32" },
  code: (constants) => shader.code({ ...constants, LISTED: true }),
};

/** The same for more experts than the threads of a workgroup have memory for together: a row's scores lie in a buffer instead. */
const widen = (of: Shader): Shader => ({
  ...of,
  name: `${of.name}Wide`,
  writes: { ...of.writes, work: "f32" },
  code: (constants) =>
    of
      .code(constants)
      .replace(/var<workgroup> (scores|picked): .*\n/g, "")
      .replace("const OUT", "var<private> base: u32 = 0;\nconst OUT")
      .replace("let row = line(group, groups);", `$&\n  base = p.work_at + row * ${2 * Number(constants.X)};`)
      .replaceAll("scores[", "work[base + ")
      .replaceAll("picked[", `work[base + ${constants.X} + `)
      .replaceAll("workgroupBarrier();", "storageBarrier();\n  $&"),
});
const [wide, wideListing] = [widen(shader), widen(listing)];

export const routeWebgpu: RouteKernel = (logits, choice, bias, out) => launch(logits, choice, bias, out, undefined);

/** The choice as a list: `ids` and `out` `[rows, perToken]`. */
export const listWebgpu = (logits: Tensor, choice: Choice, bias: Tensor | undefined, out: Tensor, ids: Tensor) =>
  launch(logits, choice, bias, out, ids);

function launch(
  logits: Tensor,
  { scores, perToken, groups, perGroup, normalised, factor }: Choice,
  bias: Tensor | undefined,
  out: Tensor,
  ids: Tensor | undefined,
): void {
  const device = out.device as WebgpuDevice;
  const [rows = 0, x = 0] = logits.shape;
  const constants = {
    ...{ X: x, GROUPS: groups, PER_GROUP: perGroup, PER_TOKEN: perToken },
    ...{ SOFTMAX: scores === "softmax", BIAS: bias !== undefined, NORMALISED: normalised === true },
  };
  const operands = { logits, bias, out, ...(ids && { ids }) };
  if (8 * x <= device.traits.shared - BESIDE) {
    device.launch(ids ? listing : shader, constants, operands, { rows, factor }, groupsFor(rows));
    return;
  }
  const work = new Tensor(device, [rows, 2, x]);
  device.launch(ids ? wideListing : wide, constants, { ...operands, work }, { rows, factor }, groupsFor(rows));
  work.free();
}
