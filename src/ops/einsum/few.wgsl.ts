import { mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { expertCode } from "../expert/visit.wgsl.ts";
import { weightCode, weightNumbers } from "../packed/weight.wgsl.ts";
import { loopCode, loopNumbers } from "./loops.wgsl.ts";

// Products of a few rows of a: every number of b is read once, by neighbouring threads side by side.

/** Threads of a workgroup. */
export const THREADS = 128;

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

const numbers: Shader["numbers"] = {
  ...{ batches: "u32", rows: "u32", columns: "u32", depth: "u32", add: "u32", before: "u32" },
  ...weightNumbers,
  ...loopNumbers,
};

/** Numbers of 4 bits share words with those 16 columns on: a thread takes both. */
export const isNibbles = (format: unknown) => (format as string).startsWith("Q4") || format === "Q6_K";

/** How many steps of LANES threads a row of `depth` numbers takes. */
export const stepsAlong = (format: PackedFormat, depth: number) => depth / (isNibbles(format) ? 8 : 4);

/** WGSL of the product of four numbers of a weight with four of a, made of 16-bit numbers where these are asked for and there. */
export const dotOf = (format: PackedFormat, HALF: unknown) => (w: string, x: string) =>
  HALF && format !== "F32" ? `f32(dot(vec4h(${w}), vec4h(${x})))` : `dot(${w}, ${x})`;

/** Sums of threads side by side: WGSL of the memory that they need, that adds them up, and that uses them. */
export interface LaneSums {
  readonly memory: string;
  readonly add: string;
  /** For each of so many sums, what `use` says of its number and its value, by one of the threads that share it. */
  each(count: number, use: (k: string, value: string) => string): string;
  /** A sum, in what `each` is given, of which slot `k` has one for each row: `row` is one of its numbers. */
  at(first: number, k: string): string;
}

/**
 * `sum0`, `sum1`, ... of so many threads side by side. Within a subgroup of at least `subgroup` threads they need no memory to know of
 * each other, and where that is all of them no barrier either, which a software GPU takes milliseconds for.
 */
export function laneSums(lanes: number, slots: number, subgroup: number): LaneSums {
  const within = Math.min(lanes, Math.max(1, subgroup));
  const masks = Array.from({ length: Math.log2(within) }, (_, i) => 2 ** i);
  const shuffles = masks
    .map((mask) => lines(slots, (k) => `  sum${k} += subgroupShuffleXor(sum${k}, ${mask}u);`))
    .join("\n");
  if (within === lanes)
    return {
      memory: "",
      add: `${shuffles}
  let sums = array<f32, ${slots}>(${Array.from({ length: slots }, (_, k) => `sum${k}`).join(", ")});`,
      each: (count, use) =>
        Array.from(
          { length: count },
          (_, k) => `  if (lane == ${k % lanes}) {\n${use(`${k}u`, `sums[${k}]`)}\n  }`,
        ).join("\n"),
      at: (first, k) => `sums[${first} + ${k}]`,
    };
  const place = (k: string) => `found[(${k}) * ${THREADS} + thread - lane]`;
  return {
    memory: `var<workgroup> found: array<f32, ${THREADS * slots}>;`,
    add: `${shuffles}
${lines(slots, (k) => `  found[${k * THREADS} + thread] = sum${k};`)}
  for (var half = ${lanes >> 1}u; half >= ${within}; half /= 2) {
    workgroupBarrier();
    if (lane < half) {
${lines(slots, (k) => `      found[${k * THREADS} + thread] += found[${k * THREADS} + thread + half];`)}
    }
  }
  workgroupBarrier();`,
    each: (count, use) => `  for (var k = lane; k < ${count}; k += ${lanes}) {\n${use("k", place("k"))}\n  }`,
    at: (first, k) => place(`${first} + ${k}`),
  };
}

/**
 * Sums along b's rows. LANES threads share EACH neighbouring rows of b, and add up what they found in a fixed order. ROWS are those
 * of a. VISITS: the one row is an entry of an expert's, and a batch is an expert.
 */
export const across: Shader = {
  name: "contract across",
  reads: { a: "vec4f", b: "u32", ends: "f32" },
  writes: { c: "f32" },
  numbers,
  code(constants) {
    const { ROWS, LANES, EACH, FORMAT, VISITS } = constants as Record<string, number>;
    const sums = ROWS! * EACH!;
    const shared = THREADS / LANES!;
    const both = isNibbles(FORMAT);
    const added = laneSums(LANES!, sums, Number(constants.SUBGROUP));
    const dot = dotOf(FORMAT as unknown as PackedFormat, constants.HALF);
    return /* wgsl */ `
${weightCode(FORMAT as unknown as PackedFormat)}
${loopCode(constants)}
${VISITS ? expertCode : ""}
${added.memory}
${mainOf(THREADS, constants.SUBGROUP)}
  let lane = thread % ${LANES};
  let id = line(group, groups);
${
  VISITS
    ? `  let over = (p.columns + ${shared * EACH! - 1}) / ${shared * EACH!};
  let visit = tile_of(id / over, 1);
  let batch = visit.x;
  let top = visit.y;
  let first = ((id % over) * ${shared} + thread / ${LANES}) * ${EACH};
  let inside = batch < p.batches && first < p.columns;`
    : `  let place = (id * ${shared} + thread / ${LANES}) * ${EACH};
  let batch = place / p.columns;
  let first = place % p.columns;
  let top = 0u;
  let inside = batch < p.batches;`
}
  let base = batch_at(batch);
${lines(EACH!, (j) => `  let n${j} = n_at(min(first + ${j}, p.columns - 1));\n  let b${j} = p.b_at + base.y + n${j}.y;`)}
${lines(ROWS!, (r) => `  let m${r} = m_at(${r === 0 ? "top" : `min(${r}u, p.rows - 1)`});\n  let a${r} = (p.a_at + base.x + m${r}.x) / 4;`)}
${lines(sums, (i) => `  var sum${i} = 0.0;`)}
  if (inside) {
    for (var step = lane; step < p.depth / ${both ? 8 : 4}; step += ${LANES}) {
      let i = ${both ? "8 * (step / 4) + step % 4" : "step"};
${lines(EACH!, (j) => `      let w${j} = four(b${j}, i);${both ? `\n      let v${j} = four(b${j}, i + 4);` : ""}`)}
${lines(
  ROWS!,
  (r) => `      let x${r} = a[a${r} + i];${both ? `\n      let y${r} = a[a${r} + i + 4];` : ""}
${lines(EACH!, (j) => `      sum${r * EACH! + j} += ${dot(`w${j}`, `x${r}`)}${both ? ` + ${dot(`v${j}`, `y${r}`)}` : ""};`)}`,
)}
    }
  }
${added.add}
  if (!inside) { return; }
${added.each(
  sums,
  (k, sum) => `    let row = ${k} / ${EACH};
    let column = first + ${k} % ${EACH};
    if (column < p.columns && row < p.rows) {
      let at = p.c_at + base.w + m_at(top + row).w + n_at(column).w;
      if (p.add != 0) { c[at] += ${sum}; } else { c[at] = ${sum}; }
    }`,
)}
}`;
  },
};

/** Threads side by side in a workgroup of `down`, each with four columns. */
const SIDE = 8;
/** Columns of a workgroup of `down`. */
export const COLUMNS = 4 * SIDE;

/** Sums over b's rows: threads side by side have four columns each, those behind one another every so many rows. ROWS are those of a. */
export const down: Shader = {
  name: "contract down",
  reads: { a: "f32", b: "u32" },
  writes: { c: "f32" },
  numbers,
  code(constants) {
    const { ROWS, FORMAT } = constants as Record<string, number>;
    const deep = THREADS / SIDE;
    return /* wgsl */ `
${weightCode(FORMAT as unknown as PackedFormat)}
${loopCode(constants)}
var<workgroup> found: array<vec4f, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let fours = p.columns / 4;
  let place = line(group, groups) * ${SIDE} + thread % ${SIDE};
  let inside = place < p.batches * fours;
  let base = batch_at(place / fours);
  let column = 4 * (place % fours);
  let n = n_at(column);
${lines(ROWS!, (r) => `  let m${r} = m_at(min(${r}u, p.rows - 1));\n  var sum${r} = vec4f(0);`)}
  if (inside) {
    for (var k = thread / ${SIDE}; k < p.depth; k += ${deep}) {
      let step = k_at(k);
      let w = four(p.b_at + base.y + n.y + step.y, n.z / 4);
${lines(ROWS!, (r) => `      sum${r} += a[p.a_at + base.x + m${r}.x + step.x] * w;`)}
    }
  }
${lines(
  ROWS!,
  (r) => `  found[thread] = sum${r};
  for (var half = ${deep / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread / ${SIDE} < half) { found[thread] += found[thread + half * ${SIDE}]; }
  }
  workgroupBarrier();
  if (inside && ${r} < p.rows && thread < 4 * ${SIDE}) {
    // The next rows of threads write the other three of the four columns.
    let sum = found[thread % ${SIDE}][thread / ${SIDE}];
    let at = p.c_at + base.w + m${r}.w + n_at(column + thread / ${SIDE}).w;
    if (p.add != 0) { c[at] += sum; } else { c[at] = sum; }
  }
  workgroupBarrier();`,
)}
}`;
  },
};
