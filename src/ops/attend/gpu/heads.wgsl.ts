import type { Traits } from "../../../device/gpu/adapter.ts";
import type { Span } from "../../../tensor/device.ts";
import type { PackedFormat } from "../../../tensor/packing.ts";
import { dotOf, isNibbles, laneSums, stepsAlong, THREADS } from "../../einsum/few.wgsl.ts";
import { lanesFor, type Operands } from "../../einsum/launch.wgsl.ts";
import type { Loops } from "../../einsum/loops.wgsl.ts";
import { weightCode } from "../../packed/weight.wgsl.ts";

// The product of each head's row with the head's own matrix, as a part of launches that have other work as well.

/** Threads side by side of a workgroup that goes down a matrix, each with four columns. */
const SIDE = 8;
/** Numbers of a row at most, which lies in memory of the workgroup. */
const WIDEST = 2048;

/** Rows of heads `[t, h, width]`: heads, and rows in all. */
export interface HeadRows {
  readonly h: number;
  readonly width: number;
  readonly rows: number;
}

/** Such a product: what its code depends on, and what it is told. `lanes`: threads that share a row of a matrix; 0 down its columns. */
export interface Heads {
  readonly format: PackedFormat;
  readonly lanes: number;
  readonly width: number;
  readonly operands: Readonly<Record<"b" | "c", Span>>;
  readonly numbers: Readonly<Record<keyof typeof headNumbers, number>>;
}

/** Numbers of a launch: `blocks` workgroups have a row each, `all` all rows. */
export const headNumbers = {
  h: "u32",
  all: "u32",
  blocks: "u32",
  columns: "u32",
  alike: "u32",
  head_step: "u32",
  words: "u32",
  upper: "u32",
  scales: "u32",
} as const;

/** The product of these loops, if it is such a one of these rows. */
export function headsOf(
  traits: Traits,
  { batch, m, n, k }: Loops,
  { b, c, format, upper, scales }: Omit<Operands, "a">,
  { h, width, rows }: HeadRows,
): Heads | undefined {
  const [head, column, along] = [batch[0], n[0], k[0]];
  // Heads that share a matrix, of rows one after the other.
  const alike = h / (head?.size ?? 1);
  const [row, same] = alike > 1 ? [m.at(-2), m.at(-1)] : [m[0], undefined];
  if (width > WIDEST || 4 * b.size > traits.binding) return undefined;
  if (batch.length > 1 || m.length > 2 || n.length !== 1 || k.length !== 1 || !column || !along) return undefined;
  const own = along.size === width && along.a === 1 && column.c === 1 && m.length === (row ? 1 : 0) + (same ? 1 : 0);
  const ordered =
    (!head || (head.a === alike * width && head.c === alike * column.size && head.column === 0)) &&
    (alike === 1 || (same?.size === alike && same.a === width && same.c === column.size)) &&
    (row ? row.size * h === rows && row.a === h * width && row.c === h * column.size : rows === h);
  const across = along.column === 1 && along.b === 0 && column.column === 0 && width % 4 === 0;
  const down = column.column === 1 && column.b === 0 && along.column === 0 && column.size % 4 === 0;
  if (!own || !ordered || !(across || down)) return undefined;
  const lanes = across ? lanesFor(stepsAlong(format, width), traits) : 0;
  const blocks = Math.ceil(column.size / (across ? THREADS / lanes : 4 * SIDE));
  const words = { alike, head_step: head?.b ?? 0, words: across ? column.b : along.b, upper, scales };
  const numbers = { h, ...words, columns: column.size, blocks, all: rows * blocks };
  return { format, lanes, width, operands: { b: spanOf(b), c: spanOf(c) }, numbers };
}

/** Where an operand lies, whose tensor may be freed before the launch. */
const spanOf = ({ block, start, size }: Span): Span => ({ block, start, size });

/** WGSL of what becomes of the product of `row` at a column. */
type Finish = (column: string, sum: string) => string;

/**
 * WGSL of the memory that it needs, in whose `whole` a head's row is to be put, and of the product of row `row`, `block` by block; `finish`
 * tells what of it is written.
 */
export function headsCode(
  { format, lanes, width }: Heads,
  { SUBGROUP, HALF }: Readonly<Record<string, unknown>>,
  finish: Finish = (_, sum) => sum,
) {
  const added = laneSums(Math.max(1, lanes), 1, Number(SUBGROUP));
  return {
    memory: `${weightCode(format)}
var<workgroup> whole: array<vec4f, ${Math.ceil(width / 4)}>;
${lanes ? added.memory : `var<workgroup> found: array<vec4f, ${THREADS}>;`}`,
    multiply: `workgroupBarrier();
  let at = p.b_at + row % p.h / p.alike * p.head_step;
  let to = p.c_at + row * p.columns;
  ${lanes ? across(format, lanes, width, added, HALF, finish) : down(width, finish)}`,
  };
}

const across = (
  format: PackedFormat,
  lanes: number,
  width: number,
  added: ReturnType<typeof laneSums>,
  HALF: unknown,
  finish: Finish,
) => {
  const both = isNibbles(format);
  const dot = dotOf(format, HALF);
  const term = (i: string) => `sum0 += ${dot(`four(at + own * p.words, ${i})`, `whole[${i}]`)};`;
  return `let lane = thread % ${lanes};
  let column = block * ${THREADS / lanes} + thread / ${lanes};
  let own = min(column, p.columns - 1);
  var sum0 = 0.0;
  for (var step = lane; step < ${width / (both ? 8 : 4)}; step += ${lanes}) {
    let i = ${both ? "8 * (step / 4) + step % 4" : "step"};
    ${term("i")}
    ${both ? term("i + 4") : ""}
  }
${added.add}
  if (lane == 0 && column < p.columns) { c[to + column] = ${finish("column", added.at(0, "0"))}; }`;
};

const down = (width: number, finish: Finish) => `let place = block * ${SIDE} + thread % ${SIDE};
  var sum = vec4f(0);
  if (place < p.columns / 4) {
    for (var k = thread / ${SIDE}; k < ${width}; k += ${THREADS / SIDE}) { sum += whole[k / 4][k % 4] * four(at + k * p.words, place); }
  }
  found[thread] = sum;
  for (var half = ${THREADS / SIDE / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread / ${SIDE} < half) { found[thread] += found[thread + half * ${SIDE}]; }
  }
  workgroupBarrier();
  // The next rows of threads write the other three of the four columns.
  if (place < p.columns / 4 && thread < ${4 * SIDE}) {
    let column = 4 * place + thread / ${SIDE};
    c[to + column] = ${finish("column", `found[thread % ${SIDE}][thread / ${SIDE}]`)};
  }`;
