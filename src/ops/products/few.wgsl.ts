import { functions, logistic } from "../../device/gpu/function.ts";
import { mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { dotOf, isNibbles, laneSums, THREADS } from "../einsum/few.wgsl.ts";
import type { Mapping } from "../map/index.ts";
import { values } from "../map/value.wgsl.ts";
import { weightCodes } from "../packed/weight.wgsl.ts";

// Several products of a few rows in one launch: workgroups of each product one after the other, and what each reads of a weight it
// reads once, as in einsum/few.wgsl.ts. Where rows are to be normed, threads add up their squares as they go through them.

/**
 * A product of a class: which of the inputs it is of, its weights' formats (two where one gates the other), which of them have a bias,
 * what becomes of it, and whether it is added. `ragged`: columns that are no whole vectors (down).
 */
export interface FewProduct {
  readonly from: number;
  readonly ragged: boolean;
  readonly formats: readonly PackedFormat[];
  readonly biases: readonly boolean[];
  readonly after: { readonly by: Mapping | undefined; readonly rate: "none" | "inside" | "outside" } | undefined;
  readonly added: boolean;
}

/** What launches of a shader have in common. */
export interface FewClass {
  /** Along the weights' rows, or down their columns four at a time. */
  readonly way: "across" | "down";
  readonly list: readonly FewProduct[];
  /** Rows for which there is code. */
  readonly rows: number;
  /** Threads that share a row of a weight, and rows of it that they have each (across). */
  readonly lanes: number;
  readonly each: number;
  /** Of each input, whether it is to be normed. */
  readonly normed: readonly boolean[];
  /** Whether results lie in one block, from `to` on. */
  readonly together: boolean;
}

/** Threads side by side of a workgroup that goes down, each with four columns. */
const SIDE = 8;

/** Columns of a product that a workgroup has. */
export const columnsOf = ({ way, lanes, each }: FewClass) => (way === "down" ? 4 * SIDE : (THREADS / lanes) * each);

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

export function fewShader(of: FewClass): Omit<Shader, "name"> {
  const { way, list, normed } = of;
  const weights = list.flatMap(({ formats }) => formats);
  const named = list.flatMap(({ biases }) => biases).map((there, i) => (there ? [`bias${i}`] : []));
  const rates = list.flatMap(({ after }, i) => (after && after.rate !== "none" ? [`rate${i}`] : []));
  const four = way === "across" ? "vec4f" : "f32";
  const each = (names: readonly string[]) => weights.flatMap((_, i) => names.map((name) => [`${name}${i}`, "u32"]));
  return {
    reads: {
      ...Object.fromEntries(
        normed.flatMap((gain, i) => [`a${i}`, ...(gain ? [`gain${i}`] : [])].map((name) => [name, four])),
      ),
      ...Object.fromEntries(weights.map((_, i) => [`b${i}`, "u32"])),
      ...Object.fromEntries([...named.flat(), ...rates].map((name) => [name, "f32"])),
    },
    writes: of.together ? { c: "f32" } : Object.fromEntries(list.map((_, i) => [`c${i}`, "f32"])),
    numbers: {
      ...{ rows: "u32", by: "f32" },
      ...(of.together ? Object.fromEntries(list.map((_, i) => [`to${i}`, "u32"])) : {}),
      ...Object.fromEntries(normed.flatMap((gain, i) => [[`depth${i}`, "u32"], ...(gain ? [[`eps${i}`, "f32"]] : [])])),
      ...Object.fromEntries(
        list.flatMap(({ after }, i) =>
          after
            ? [
                [`times${i}`, "f32"],
                [`per${i}`, "u32"],
              ]
            : [],
        ),
      ),
      ...Object.fromEntries(list.flatMap((_, i) => [`end${i}`, `columns${i}`].map((name) => [name, "u32"]))),
      ...Object.fromEntries(each(["words", "upper", "scales"])),
    } as Shader["numbers"],
    code: ({ SUBGROUP, HALF }) => code(of, weights, { subgroup: Number(SUBGROUP), half: HALF === true }),
  };
}

/** Which ways an adapter has: threads of a subgroup at least, and products in 16 bits. */
interface Ways {
  readonly subgroup: number;
  readonly half: boolean;
}

function code(of: FewClass, weights: readonly PackedFormat[], dialect: Ways): string {
  const { way, list, rows, each } = of;
  const normed = of.normed.some((one) => one);
  const most = Math.max(...list.map(({ formats }) => formats.length));
  const slots = rows * each * most + (normed ? rows : 0);
  const memory = way === "across" ? laneSums(of.lanes, slots, dialect.subgroup).memory : "";
  let weight = 0;
  const bodies = list.map((product, i) => {
    const first = weight;
    weight += product.formats.length;
    return way === "across" ? across(of, product, i, first, dialect) : down(of, product, i, first);
  });
  return /* wgsl */ `
${weightCodes(weights)}
${list.some(({ after }) => after) ? functions : list.some(({ formats }) => formats.length > 1) ? logistic : ""}
${way === "down" && normed ? `var<workgroup> found: array<f32, ${THREADS}>;` : memory}
${way === "down" ? lines(most, (w) => `var<workgroup> fours${w}: array<vec4f, ${THREADS}>;`) : ""}
${bodies.join("\n")}
${mainOf(THREADS, dialect.subgroup)}
  let id = line(group, groups);
${list.map((_, i) => `  if (id < p.end${i}) { product${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`;
}

/** WGSL that puts a sum, and that of the gated product, where they belong: `row` and `column` say which. */
function put(
  { formats, biases, added, after }: FewProduct,
  i: number,
  first: number,
  normed: boolean,
  together: boolean,
  sums: string[],
): string {
  const whole = formats.map(
    (_, w) =>
      `${sums[w]}${normed ? " * r" : ""}${biases[w] ? ` + bias${first + w}[p.bias${first + w}_at + column]` : ""}`,
  );
  const value = formats.length > 1 ? "x / (1.0 + expOf(-x)) * y" : after ? finished(after, i) : "x";
  const to = `${together ? `c[p.c_at + p.to${i}` : `c${i}[p.c${i}_at`} + row * p.columns${i} + column]`;
  return `${after && after.rate !== "none" ? `let rate = expOf(rate${i}[p.rate${i}_at + column / p.per${i}]);` : ""}
      let x = ${after?.rate === "inside" ? `rate * (${whole[0]})` : whole[0]};
      ${formats.length > 1 ? `let y = ${whole[1]};` : ""}
      ${to} = ${added ? `${to} + p.by * (${value})` : value};`;
}

/** WGSL of what becomes of x. */
const finished = ({ by, rate }: NonNullable<FewProduct["after"]>, i: number) =>
  `p.times${i} * (${by ? values[by] : "x"})${rate === "outside" ? " * rate" : ""}`;

const inverse = (squares: string, from: number) =>
  `let r = 1.0 / sqrt(${squares} / f32(p.depth${from}) + p.eps${from});`;

function across(of: FewClass, product: FewProduct, i: number, first: number, { subgroup, half }: Ways): string {
  const { rows, lanes, each } = of;
  const { formats, from } = product;
  const normed = of.normed[from]!;
  const both = formats.some(isNibbles);
  const sums = rows * each;
  const all = sums * formats.length;
  const slots = all + (normed ? rows : 0);
  const added = laneSums(lanes, slots, subgroup);
  const at = (w: number, r: number, j: number) => w * sums + r * each + j;
  const terms = (w: number, r: number, j: number, x: string, v: string) =>
    `      sum${at(w, r, j)} += ${dotOf(formats[w]!, half)(`${v}${w}_${j}`, `${x}${r}`)};`;
  const step = (
    x: string,
    v: string,
    c: string,
  ) => `${normed ? `      let g${x} = gain${from}[p.gain${from}_at / 4 + ${c}];` : ""}
${lines(formats.length, (w) => lines(each, (j) => `      let ${v}${w}_${j} = four${first + w}(b${w}_${j}, ${c});`))}
${lines(
  rows,
  (r) => `      ${normed ? `let raw${x}${r} = a${from}[at${r} + ${c}];` : ""}
      let ${x}${r} = ${normed ? `raw${x}${r} * g${x}` : `a${from}[at${r} + ${c}]`};
      ${normed ? `sum${all + r} += dot(raw${x}${r}, raw${x}${r});` : ""}
${lines(formats.length, (w) => lines(each, (j) => terms(w, r, j, x, v)))}`,
)}`;
  return /* wgsl */ `
fn product${i}(id: u32, thread: u32) {
  let lane = thread % ${lanes};
  let first = (id * ${THREADS / lanes} + thread / ${lanes}) * ${each};
  let inside = first < p.columns${i};
${lines(formats.length, (w) =>
  lines(
    each,
    (j) => `  let b${w}_${j} = p.b${first + w}_at + min(first + ${j}, p.columns${i} - 1) * p.words${first + w};`,
  ),
)}
${lines(rows, (r) => `  let at${r} = (p.a${from}_at + min(${r}u, p.rows - 1) * p.depth${from}) / 4;`)}
${lines(slots, (k) => `  var sum${k} = 0.0;`)}
  if (inside) {
    for (var step = lane; step < p.depth${from} / ${both ? 8 : 4}; step += ${lanes}) {
      let i = ${both ? "8 * (step / 4) + step % 4" : "step"};
${step("x", "w", "i")}
${both ? step("y", "v", "(i + 4)") : ""}
    }
  }
${added.add}
  if (!inside) { return; }
${added.each(
  sums,
  (k, sum) => `    let row = ${k} / ${each};
    let column = first + ${k} % ${each};
    if (column < p.columns${i} && row < p.rows) {
      ${normed ? inverse(added.at(all, "row"), from) : ""}
      ${put(
        product,
        i,
        first,
        normed,
        of.together,
        formats.map((_, w) => (w ? added.at(sums, k) : sum)),
      )}
    }`,
)}
}`;
}

function down(of: FewClass, product: FewProduct, i: number, first: number): string {
  const { rows } = of;
  const { formats, from, ragged } = product;
  const normed = of.normed[from]!;
  const deep = THREADS / SIDE;
  const row = (w: number) => `p.b${first + w}_at + k * p.words${first + w}`;
  const four = (w: number) =>
    ragged
      ? `vec4f(${[0, 1, 2, 3].map((j) => `weight${first + w}(${row(w)}, min(4 * place + ${j}, p.columns${i} - 1))`).join(", ")})`
      : `four${first + w}(${row(w)}, place)`;
  const list = (name: string, w: number) => Array.from({ length: rows }, (_, r) => `${name}${w}_${r}`).join(", ");
  return /* wgsl */ `
fn product${i}(id: u32, thread: u32) {
  let place = id * ${SIDE} + thread % ${SIDE};
  let inside = place < (p.columns${i} + 3) / 4;
${lines(rows, (r) => lines(formats.length, (w) => `  var sum${w}_${r} = vec4f(0);`))}
${normed ? lines(rows, (r) => `  var squares${r} = 0.0;`) : ""}
  if (inside) {
    for (var k = thread / ${SIDE}; k < p.depth${from}; k += ${deep}) {
${lines(formats.length, (w) => `      let w${w} = ${four(w)};`)}
      ${normed ? `let g = gain${from}[p.gain${from}_at + k];` : ""}
${lines(
  rows,
  (r) => `      let x${r} = a${from}[p.a${from}_at + min(${r}u, p.rows - 1) * p.depth${from} + k];
      ${normed ? `squares${r} += x${r} * x${r};` : ""}
${lines(formats.length, (w) => `      sum${w}_${r} += x${r}${normed ? " * g" : ""} * w${w};`)}`,
)}
    }
  }
${lines(formats.length, (w) => `  let all${w} = array<vec4f, ${rows}>(${list("sum", w)});`)}
${normed ? `  let squares = array<f32, ${rows}>(${Array.from({ length: rows }, (_, r) => `squares${r}`).join(", ")});` : ""}
  for (var row = 0u; row < ${rows}; row++) {
${lines(formats.length, (w) => `    fours${w}[thread] = all${w}[row];`)}
    ${normed ? "found[thread] = squares[row];" : ""}
    for (var half = ${deep / 2}u; half > 0; half /= 2) {
      workgroupBarrier();
      if (thread / ${SIDE} < half) {
${lines(formats.length, (w) => `        fours${w}[thread] += fours${w}[thread + half * ${SIDE}];`)}
        ${normed ? `found[thread] += found[thread + half * ${SIDE}];` : ""}
      }
    }
    workgroupBarrier();
    let column = 4 * place + thread / ${SIDE};
    // The next rows of threads write the other three of the four columns.
    if (inside && row < p.rows && thread < ${4 * SIDE}${ragged ? ` && column < p.columns${i}` : ""}) {
      ${normed ? inverse(`found[thread % ${SIDE}]`, from) : ""}
      ${put(
        product,
        i,
        first,
        normed,
        of.together,
        formats.map((_, w) => `fours${w}[thread % ${SIDE}][thread / ${SIDE}]`),
      )}
    }
    workgroupBarrier();
  }
}`;
}
