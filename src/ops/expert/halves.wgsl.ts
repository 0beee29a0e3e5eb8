import { logistic } from "../../device/gpu/function.ts";
import { mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { dotOf, isNibbles, laneSums, THREADS } from "../einsum/few.wgsl.ts";
import { weightCodes } from "../packed/weight.wgsl.ts";
import { chooseCode } from "../route/few.wgsl.ts";
import type { Choice } from "../route/index.ts";

// Experts of a few tokens. Products go along the rows of a matrix ("across", LANES threads for each of its rows) or down its
// columns, four at a time. A matrix is one of several that lie one after the other, or the shared expert's.

/** What launches of either half have in common. */
export interface Half {
  readonly way: "across" | "down";
  readonly formats: readonly PackedFormat[];
  /** Threads that share a row (across). */
  readonly lanes: number;
  /** Whether rows are to be normed (first half), and whether there is a shared expert (second half). */
  readonly normed: boolean;
  readonly shared: boolean;
}

/** What experts are chosen by, among how many, and whether there is a bias. */
export interface Choosing {
  readonly choice: Choice;
  readonly x: number;
  readonly bias: boolean;
}

/** Threads side by side of a workgroup that goes down, each with four columns. */
const SIDE = 8;

/** Columns of the result that a workgroup has. */
export const columnsOf = ({ way, lanes }: Half) => (way === "down" ? 4 * SIDE : THREADS / lanes);

/** Which columns a thread has, and what of a sum's terms: `inside`, `column`, and `first` and `step` of those terms. */
const places = ({ way, lanes }: Half) =>
  way === "across"
    ? `let lane = thread % ${lanes};
  let column = block * ${THREADS / lanes} + thread / ${lanes};
  let inside = column < p.columns;
  let own = min(column, p.columns - 1);`
    : `let column = 4 * (block * ${SIDE} + thread % ${SIDE});
  let inside = column < p.columns;
  let own = min(column, p.columns - 4) / 4;`;

const zero = ({ way }: Half) => (way === "across" ? "0.0" : "vec4f(0)");

/**
 * WGSL that adds to `sums` the products of `depth` numbers `row` (WGSL of the word where they begin in buffer `a`) with columns of
 * matrices `weights`, of which `at` says where each begins; `squares` collects those of the numbers where rows are normed.
 */
function products(
  half: Half,
  {
    a,
    row,
    depth,
    weights,
    at,
  }: { a: string; row: string; depth: string; weights: readonly number[]; at: (w: number) => string },
  sums: readonly string[],
  dialect: { readonly half: boolean },
  squares?: string,
): string {
  const { way, formats, lanes } = half;
  const gain = squares !== undefined;
  if (way === "down")
    return `for (var k = thread / ${SIDE}; k < ${depth}; k += ${THREADS / SIDE}) {
      let x = ${a}[${row} + k];
      ${gain ? `${squares} += x * x;` : ""}
${weights.map((w, i) => `      ${sums[i]} += x${gain ? " * gain[p.gain_at + k]" : ""} * four${w}(${at(w)} + k * p.words${w}, own);`).join("\n")}
    }`;
  const both = weights.some((w) => isNibbles(formats[w]));
  const term = (x: string, i: string) => `let raw${x} = ${a}[(${row}) / 4 + ${i}];
      let ${x} = raw${x}${gain ? ` * gain[p.gain_at / 4 + ${i}]` : ""};
      ${gain ? `${squares} += dot(raw${x}, raw${x});` : ""}
${weights.map((w, j) => `      ${sums[j]} += ${dotOf(formats[w]!, dialect.half)(`four${w}(${at(w)} + own * p.words${w}, ${i})`, x)};`).join("\n")}`;
  return `for (var step = lane; step < ${depth} / ${both ? 8 : 4}; step += ${lanes}) {
      let i = ${both ? "8 * (step / 4) + step % 4" : "step"};
      ${term("x", "i")}
      ${both ? term("y", "(i + 4)") : ""}
    }`;
}

/** WGSL that adds up sums over the threads that share them; then `value` of sum `s` is for `store` to use, by one thread for a number. */
function together(
  { way, lanes }: Half,
  sums: readonly string[],
  squares: string | undefined,
  subgroup: number,
  store: (value: (s: number) => string, squares: string) => string,
): string {
  const slots = sums.length + (squares ? 1 : 0);
  if (way === "across") {
    const added = laneSums(lanes, slots, subgroup);
    return `${added.add}
  if (inside && lane == 0) {
    ${store((s) => added.at(s, "0"), added.at(sums.length, "0"))}
  }`;
  }
  return `${sums.map((sum, i) => `fours[${i * THREADS} + thread] = ${sum};`).join("\n  ")}
  ${squares ? `found[thread] = ${squares};` : ""}
  for (var half = ${THREADS / SIDE / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread / ${SIDE} < half) {
${sums.map((_, i) => `      fours[${i * THREADS} + thread] += fours[${i * THREADS} + thread + half * ${SIDE}];`).join("\n")}
      ${squares ? `found[thread] += found[thread + half * ${SIDE}];` : ""}
    }
  }
  workgroupBarrier();
  // The next rows of threads write the other three of the four columns.
  if (inside && thread < ${4 * SIDE}) {
    let column = 4 * (block * ${SIDE} + thread % ${SIDE}) + thread / ${SIDE};
    ${store((s) => `fours[${s * THREADS} + thread % ${SIDE}][thread / ${SIDE}]`, `found[thread % ${SIDE}]`)}
  }`;
}

const memory = ({ way, lanes }: Half, sums: number, squares: boolean, subgroup: number) =>
  way === "across"
    ? laneSums(lanes, sums + (squares ? 1 : 0), subgroup).memory
    : `var<workgroup> fours: array<vec4f, ${THREADS * sums}>;
${squares ? `var<workgroup> found: array<f32, ${THREADS}>;` : ""}`;

const weightNumbers = (count: number, names: readonly string[]) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, w) => names.map((name) => [`${name}${w}`, "u32" as const])).flat(),
  );

/**
 * Inner halves: silu of one product by number times another, times the token's weight for the expert. A workgroup is of one entry. Which
 * expert that is, its subgroups choose for themselves where they may (`choice`, among x experts), and leave word for the outer halves.
 */
export function innerShader(half: Half, choosing?: Choosing): Omit<Shader, "name"> {
  const four = half.way === "across" ? "vec4f" : "f32";
  const row = { a: four, ...(half.normed ? { gain: four } : {}), b0: "u32", b1: "u32" } as Shader["reads"];
  return {
    reads: { ...row, ...(choosing ? { logits: "f32", bias: "f32" } : { ids: "f32", weights: "f32" }) },
    writes: { c: "f32", ...(choosing ? { ids: "f32" } : {}) },
    numbers: {
      ...{ all: "u32", blocks: "u32", per_token: "u32", columns: "u32", depth: "u32", eps: "f32", factor: "f32" },
      ...weightNumbers(2, ["words", "upper", "scales", "step"]),
    },
    code: ({ SUBGROUP, HALF }) => /* wgsl */ `${weightCodes(half.formats)}
${choosing ? chooseCode(choosing.choice, choosing.x, { bias: choosing.bias, subgroup: Number(SUBGROUP) }) : ""}
${logistic}
${memory(half, 2, half.normed, Number(SUBGROUP))}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
  if (id >= p.all) { return; }
  let entry = id / p.blocks;
  let block = id % p.blocks;
  ${
    choosing
      ? `choose(entry / p.per_token, subgroup_thread, subgroup_threads);
  let expert = chosen[entry % p.per_token];
  let weight = weights[entry % p.per_token];
  if (block == 0 && thread == 0) { ids[p.ids_at + entry] = f32(expert); }`
      : `let expert = u32(ids[p.ids_at + entry]);
  let weight = weights[p.weights_at + entry];`
  }
  let row = p.a_at + entry / p.per_token * p.depth;
  ${places(half)}
  var sum0 = ${zero(half)};
  var sum1 = ${zero(half)};
  ${half.normed ? `var sum2 = 0.0;` : ""}
  if (inside) {
    ${products(half, { a: "a", row: "row", depth: "p.depth", weights: [0, 1], at: (w) => `p.b${w}_at + expert * p.step${w}` }, ["sum0", "sum1"], { half: HALF === true }, half.normed ? "sum2" : undefined)}
  }
  ${together(
    half,
    ["sum0", "sum1"],
    half.normed ? "sum2" : undefined,
    Number(SUBGROUP),
    (value, squares) => `${half.normed ? `let r = 1.0 / sqrt(${squares} / f32(p.depth) + p.eps);` : "let r = 1.0;"}
    let x = ${value(0)} * r;
    c[p.c_at + entry * p.columns + column] = x / (1.0 + expOf(-x)) * ${value(1)} * r * weight;`,
  )}
}`,
  };
}

/** Outer halves of a token's experts, in the order of its list, then of the shared one, added to the residual. A workgroup is of one token. */
export function outerShader(half: Half): Omit<Shader, "name"> {
  const four = half.way === "across" ? "vec4f" : "f32";
  return {
    reads: { a: four, b0: "u32", ids: "f32", ...(half.shared ? { other: four, b1: "u32" } : {}) } as Shader["reads"],
    writes: { c: "f32" },
    numbers: {
      ...{ all: "u32", blocks: "u32", per_token: "u32", columns: "u32", depth: "u32", depth1: "u32", by: "f32" },
      ...weightNumbers(2, ["words", "upper", "scales", "step"]),
    },
    code: ({ SUBGROUP, HALF }) => /* wgsl */ `${weightCodes(half.formats)}
${memory(half, 1, false, Number(SUBGROUP))}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
  if (id >= p.all) { return; }
  let token = id / p.blocks;
  let block = id % p.blocks;
  ${places(half)}
  var sum0 = ${zero(half)};
  if (inside) {
    for (var entry = token * p.per_token; entry < (token + 1) * p.per_token; entry++) {
      let expert = u32(ids[p.ids_at + entry]);
      let row = p.a_at + entry * p.depth;
      ${products(half, { a: "a", row: "row", depth: "p.depth", weights: [0], at: () => "p.b0_at + expert * p.step0" }, ["sum0"], { half: HALF === true })}
    }
    ${half.shared ? products(half, { a: "other", row: "p.other_at + token * p.depth1", depth: "p.depth1", weights: [1], at: () => "p.b1_at" }, ["sum0"], { half: HALF === true }) : ""}
  }
  ${together(half, ["sum0"], undefined, Number(SUBGROUP), (value) => `c[p.c_at + token * p.columns + column] += p.by * ${value(0)};`)}
}`,
  };
}
