import { packedGeometry } from "../../device/gpu/geometry.ts";
import { type Operand, placeOf } from "../../device/gpu/launcher.ts";
import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { across, stepsAlong } from "../einsum/few.wgsl.ts";
import { acrossFor, describe, isAcross, isAligned, lanesFor, type Operands, tileFor } from "../einsum/launch.wgsl.ts";
import { countsOf, type Loops, loopsOf } from "../einsum/loops.wgsl.ts";
import { planOf } from "../einsum/plan.ts";
import { weightOf } from "../einsum/webgpu.ts";
import { Normed } from "../norm/normed.ts";
import { choosesAlone } from "../route/few.wgsl.ts";
import { listWebgpu } from "../route/webgpu.ts";
import { addPlain, type FewExpertsKernel } from "./few.ts";
import { type Choosing, columnsOf, type Half, innerShader, outerShader } from "./halves.wgsl.ts";
import type { ContractEachKernel, GroupKernel } from "./index.ts";

/** Threads of a workgroup. */
const THREADS = 64;

/** Tokens that chose each expert: a workgroup for each. */
const count: Shader = {
  name: "count visits",
  reads: { router: "f32" },
  writes: { counts: "u32" },
  numbers: { tokens: "u32", experts: "u32" },
  code: () => /* wgsl */ `
var<workgroup> parts: array<u32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let expert = line(group, groups);
  if (expert >= p.experts) { return; }
  var own = 0u;
  for (var row = thread; row < p.tokens; row += ${THREADS}) {
    own += select(0u, 1u, router[p.router_at + row * p.experts + expert] != 0);
  }
  parts[thread] = own;
  for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { parts[thread] += parts[thread + half]; }
  }
  if (thread == 0) { counts[p.counts_at + expert] = parts[0]; }
}`,
};

/** Entries of each expert, its tokens in their order, and behind the last expert's those that stand for none: a workgroup for each. */
const fill: Shader = {
  name: "group visits",
  reads: { router: "f32", counts: "u32" },
  writes: { rows: "f32", weights: "f32", ends: "f32" },
  numbers: { tokens: "u32", experts: "u32", entries: "u32" },
  code: () => /* wgsl */ `
var<workgroup> before: array<u32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let expert = line(group, groups);
  if (expert > p.experts) { return; }
  var at = 0u;
  for (var i = 0u; i < expert; i++) { at += counts[p.counts_at + i]; }
  if (expert == p.experts) {
    for (var i = at + thread; i < p.entries; i += ${THREADS}) {
      rows[p.rows_at + i] = -1;
      weights[p.weights_at + i] = 0;
    }
    return;
  }
  for (var first = 0u; first < p.tokens; first += ${THREADS}) {
    let row = first + thread;
    var weight = 0.0;
    if (row < p.tokens) { weight = router[p.router_at + row * p.experts + expert]; }
    // How many threads up to this one have an entry.
    before[thread] = select(0u, 1u, weight != 0);
    for (var step = 1u; step < ${THREADS}; step *= 2) {
      workgroupBarrier();
      var more = 0u;
      if (thread >= step) { more = before[thread - step]; }
      workgroupBarrier();
      before[thread] += more;
    }
    workgroupBarrier();
    if (weight != 0) {
      let place = at + before[thread] - 1;
      rows[p.rows_at + place] = f32(row);
      weights[p.weights_at + place] = weight;
    }
    at += before[${THREADS - 1}];
    workgroupBarrier();
  }
  if (thread == 0) { ends[p.ends_at + expert] = f32(at); }
}`,
};

export const groupWebgpu: GroupKernel = (router, { rows, weights, ends }) => {
  const device = router.device as WebgpuDevice;
  const [tokens = 0, experts = 0] = router.shape;
  const counts = new Tensor(device, [experts]);
  device.launch(count, {}, { router, counts }, { tokens, experts }, groupsFor(experts));
  const numbers = { tokens, experts, entries: rows.size };
  device.launch(fill, {}, { router, counts, rows, weights, ends }, numbers, groupsFor(experts + 1));
  counts.free();
};

/** Entries for each expert, on average, from which on tiles are worth it: below, a tile would stay mostly empty. */
const SOME = 4;

/** Experts are a batch that only w has, and entries the rows of all. Where w is longer than a binding may be, some experts at a time. */
export const contractEachWebgpu: ContractEachKernel = (x, w, ends, out) => {
  if (out.size === 0 || x.size === 0) return;
  const device = out.device as WebgpuDevice;
  const experts = ends.size;
  const one = w.rows(0, 1);
  const plan = planOf("t a, x a b -> t x b", x.shape, one.shape);
  const step = w.packing ? packedGeometry(one.shape, w.packing).bytes / 4 : one.size;
  const most = Math.max(1, Math.floor(device.traits.binding / (4 * step)));
  for (let before = 0; before < experts; before += most) {
    const size = Math.min(most, experts - before);
    const loops = { ...loopsOf(plan, x, one), batch: [{ size, a: 0, b: step, column: 0, c: 0 }] };
    const b = { block: w.block, start: w.start + before * step, size: size * step };
    launchVisits(device, loops, { ...weightOf(w), a: x, b, c: out }, ends, before);
  }
};

function launchVisits(device: WebgpuDevice, loops: Loops, operands: Operands, ends: Tensor, before: number): void {
  const { a, b, c, format } = operands;
  const numbers = { ...describe(loops, operands, "set"), before };
  const { batches, rows, columns } = numbers;
  if (rows < SOME * ends.size && isAcross(loops) && isAligned(loops, a)) {
    const { shared, constants } = acrossFor(device, { ...loops, m: [] }, format);
    const groups = groupsFor(rows * Math.ceil(columns / shared));
    device.launch(across, { ...constants, ...countsOf(loops), VISITS: true }, { a, b, ends, c }, numbers, groups);
    return;
  }
  const { shader, constants } = tileFor(device, loops, format);
  // Of each expert's tiles the last may not be full.
  const tiles = Math.min(rows, Math.ceil(rows / constants.ROWS) + batches);
  const groups = groupsFor(tiles * Math.ceil(columns / constants.COLUMNS));
  device.launch(shader, { ...constants, VISITS: true }, { a, b, ends, c }, numbers, groups);
}

/** A matrix, or several of one shape, as halves of experts go through them: `step` words apart, whose rows are `words` apart. */
interface Matrix extends ReturnType<typeof weightOf> {
  readonly way: Half["way"];
  readonly words: number;
  readonly step: number;
  readonly depth: number;
  readonly columns: number;
}

/** The matrices of w `[x, depth, columns]`, if they lie one after the other and rows are whole vectors. */
function matrixOf(w: Tensor, binding: number): Matrix | undefined {
  const [, depth = 0, columns = 0] = w.shape;
  const one = w.rows(0, 1);
  const shape = [2, depth];
  const { n, k } = loopsOf(planOf("t a, x a b -> t x b", shape, one.shape), { shape }, one);
  const [along, column] = [k[0], n[0]];
  const found = weightOf(w);
  if (k.length !== 1 || n.length !== 1 || !along || !column || 4 * found.b.size > binding) return undefined;
  const across = along.column === 1 && along.b === 0 && column.column === 0 && depth % 4 === 0;
  const down = column.column === 1 && column.b === 0 && along.column === 0 && columns % 4 === 0;
  if (!across && !down) return undefined;
  const step = w.packing ? packedGeometry(one.shape, w.packing).bytes / 4 : one.size;
  const way = across ? "across" : "down";
  return { ...found, way, words: across ? column.b : along.b, step, depth, columns };
}

/** Two launches: inner halves of the experts that are chosen, and outer halves, the shared one's among them; where subgroups cannot choose alone the choice is a launch before. */
export const fewExpertsWebgpu: FewExpertsKernel = (few, residual) => {
  const { x, logits, choice, bias, shared } = few;
  const device = residual.into.device as WebgpuDevice;
  const { binding } = device.traits;
  const [gate, up, down] = [few.gate, few.up, few.down].map((w) => matrixOf(w, binding));
  const own = shared && matrixOf(oneOf(shared.down), binding);
  const later = x instanceof Normed && !x.made ? x : undefined;
  const read = later ? [later.x, later.gain] : [x];
  const whole = (t: Tensor) => placeOf(t).at % 16 === 0;
  const fits =
    gate &&
    up &&
    down &&
    gate.way === up.way &&
    (!shared || own?.way === down.way) &&
    (gate.way === "down" || read.every(whole)) &&
    (down.way === "down" || !shared || whole(shared.inner));
  if (!fits) {
    addPlain(few, residual);
    return;
  }
  const [t = 0] = x.shape;
  const { perToken } = choice;
  const ids = new Tensor(device, [t, perToken]);
  const experts = logits.shape[1]!;
  const alone = choosesAlone(experts, device.traits.subgroup?.least ?? 0);
  const weights = alone ? undefined : new Tensor(device, [t, perToken]);
  if (weights) listWebgpu(logits, choice, bias, weights, ids);
  const inner = new Tensor(device, [t, perToken, gate.columns]);
  const first = halfOf(device, [gate, up], later !== undefined, false);
  const choosing = alone ? { choice, x: experts, bias: bias !== undefined } : undefined;
  launchHalf(device, innerFor(first, choosing), t * perToken, blocksOf(first, gate), [gate, up], perToken, {
    operands: { a: read[0], gain: later?.gain, ids, weights, logits, bias, c: inner },
    numbers: { eps: later?.eps ?? 0, factor: choice.factor },
  });
  const second = halfOf(device, own ? [down, own] : [down], false, own !== undefined);
  launchHalf(device, outerFor(second), t, blocksOf(second, down), own ? [down, own] : [down], perToken, {
    operands: { a: inner, ids, other: shared?.inner, c: residual.into },
    numbers: { by: residual.by, depth1: own?.depth ?? 0 },
  });
  for (const taken of [ids, weights, inner]) taken?.free();
};

/** A matrix as the only one of several. */
const oneOf = (w: Tensor): Tensor =>
  w.packing
    ? new Tensor(w.device, [1, ...w.shape], w, w.start, undefined, {
        ...w.packing,
        rows: [0, ...w.packing.rows.map((axis) => axis + 1)],
        columns: w.packing.columns.map((axis) => axis + 1),
      })
    : w.reshape([1, ...w.shape]);

function halfOf(device: WebgpuDevice, list: readonly Matrix[], normed: boolean, shared: boolean): Half {
  const { way } = list[0]!;
  const steps = list.map(({ format, depth }) => stepsAlong(format, depth));
  const lanes = way === "down" ? 1 : lanesFor(Math.min(...steps), device.traits);
  return { way, formats: list.map(({ format }) => format), lanes, normed, shared };
}

const innerFor = (half: Half, choosing: Choosing | undefined) =>
  shaderOf("expertInner", JSON.stringify([half, choosing]), () => innerShader(half, choosing));
const outerFor = (half: Half) => shaderOf("expertOuter", JSON.stringify(half), () => outerShader(half));
const blocksOf = (half: Half, { columns }: Matrix) => Math.ceil(columns / columnsOf(half));

function launchHalf(
  device: WebgpuDevice,
  shader: Shader,
  entries: number,
  blocks: number,
  list: readonly Matrix[],
  perToken: number,
  {
    operands,
    numbers,
  }: { readonly operands: Record<string, Operand | undefined>; readonly numbers: Record<string, number> },
): void {
  const { columns, depth } = list[0]!;
  const all = entries * blocks;
  const given: Record<string, number> = { ...numbers, all, blocks, per_token: perToken, columns, depth };
  const bound = { ...operands };
  for (const w of [0, 1]) {
    const { b, words = 0, upper = 0, scales = 0, step = 0 } = list[w] ?? {};
    bound[`b${w}`] = b;
    Object.assign(given, { [`words${w}`]: words, [`upper${w}`]: upper, [`scales${w}`]: scales, [`step${w}`]: step });
  }
  device.launch(shader, {}, bound, given, groupsFor(all));
}
