import { groupsFor, mainOf, type Shader } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import type { Span } from "../../../tensor/device.ts";
import type { PackedFormat } from "../../../tensor/packing.ts";
import { dotOf, isNibbles, laneSums, stepsAlong, THREADS } from "../../einsum/few.wgsl.ts";
import { lanesFor, type Operands } from "../../einsum/launch.wgsl.ts";
import type { Loops } from "../../einsum/loops.wgsl.ts";
import { weightCode } from "../../packed/weight.wgsl.ts";
import { mergeCode } from "./pieces.wgsl.ts";
import { shaderOf } from "./tile.wgsl.ts";

// Absorbed attention ends with a matrix for each head: results over pieces of the keys are put together by the launch that multiplies.

/** Numbers of a merged row at most, which lies in memory of the workgroup. */
const WIDEST = 2048;
/** Threads side by side of a workgroup that goes down, each with four columns. */
const SIDE = 8;

/** Results over pieces that are about to be put together, `out` `[t, h, width]`: the launch waits for what comes next. */
export class Apart {
  readonly #device: WebgpuDevice;
  readonly #operands: { readonly parts: Span; readonly sinks: Span | undefined; readonly out: Span };
  readonly #numbers: Readonly<Record<"rows" | "pieces" | "width" | "h", number>>;

  constructor(
    device: WebgpuDevice,
    operands: { readonly parts: Span; readonly sinks: Span | undefined; readonly out: Span },
    numbers: Readonly<Record<"rows" | "pieces" | "width" | "h", number>>,
  ) {
    [this.#device, this.#operands, this.#numbers] = [device, operands, numbers];
  }

  /** Puts rows together and multiplies them, if these loops multiply each head's row by the head's own matrix: whether they do. */
  multiply({ batch, m, n, k }: Loops, { a, b, c, format, upper, scales }: Operands): boolean {
    const { out, sinks } = this.#operands;
    const { h, width, rows } = this.#numbers;
    const [head, column, along] = [batch[0], n[0], k[0]];
    // Heads that share a matrix, of rows one after the other.
    const alike = h / (head?.size ?? 1);
    const [row, same] = alike > 1 ? [m.at(-2), m.at(-1)] : [m[0], undefined];
    if (a.block !== out.block || a.start !== out.start || a.size !== out.size || width > WIDEST) return false;
    if (batch.length > 1 || m.length > 2 || n.length !== 1 || k.length !== 1 || !column || !along) return false;
    const own = along.size === width && along.a === 1 && column.c === 1 && m.length === (row ? 1 : 0) + (same ? 1 : 0);
    const ordered =
      (!head || (head.a === alike * width && head.c === alike * column.size && head.column === 0)) &&
      (alike === 1 || (same?.size === alike && same.a === width && same.c === column.size)) &&
      (row ? row.size * h === rows && row.a === h * width && row.c === h * column.size : rows === h);
    const across = along.column === 1 && along.b === 0 && column.column === 0 && width % 4 === 0;
    const down = column.column === 1 && column.b === 0 && along.column === 0 && column.size % 4 === 0;
    if (!own || !ordered || !(across || down) || 4 * b.size > this.#device.traits.binding) return false;
    const lanes = across ? lanesFor(stepsAlong(format, width), this.#device.traits) : 0;
    const blocks = Math.ceil(column.size / (across ? THREADS / lanes : 4 * SIDE));
    const words = { alike, head_step: head?.b ?? 0, words: across ? column.b : along.b, upper, scales };
    const numbers = { ...this.#numbers, ...words, columns: column.size, blocks, all: rows * blocks };
    this.#device.take();
    this.#device.launch(
      shaderFor(format, lanes, width, sinks !== undefined),
      {},
      { ...this.#operands, b, c },
      numbers,
      groupsFor(rows * blocks),
    );
    return true;
  }
}

/** `lanes`: threads that share a row of the weights, along which they go; 0 where they go down its columns. */
function shaderFor(format: PackedFormat, lanes: number, width: number, sinks: boolean): Shader {
  return shaderOf("attendUp", `${format} ${lanes} ${width} ${sinks}`, () => ({
    reads: { parts: "f32", sinks: "f32", b: "u32" },
    writes: { out: "f32", c: "f32" },
    numbers: {
      ...{ rows: "u32", pieces: "u32", width: "u32", h: "u32", all: "u32", blocks: "u32" },
      ...{ columns: "u32", alike: "u32", head_step: "u32", words: "u32", upper: "u32", scales: "u32" },
    },
    code({ SUBGROUP, HALF }) {
      const { memory, weigh } = mergeCode(THREADS, sinks);
      const added = laneSums(Math.max(1, lanes), 1, Number(SUBGROUP));
      const multiply = lanes ? across(format, lanes, added, HALF) : down;
      return /* wgsl */ `${memory}
${weightCode(format)}
var<workgroup> whole: array<vec4f, ${Math.ceil(width / 4)}>;
${lanes ? added.memory : `var<workgroup> found: array<vec4f, ${THREADS}>;`}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
  if (id >= p.all) { return; }
  let row = id / p.blocks;
  let block = id % p.blocks;
  ${weigh}
  for (var i = thread; i < ${Math.ceil(width / 4)}; i += ${THREADS}) {
    var x = vec4f(0);
    for (var j = 0u; j < min(4, ${width} - 4 * i); j++) {
      x[j] = merged(row, 4 * i + j);
      if (block == 0) { out[p.out_at + row * ${width} + 4 * i + j] = x[j]; }
    }
    whole[i] = x;
  }
  workgroupBarrier();
  let at = p.b_at + row % p.h / p.alike * p.head_step;
  let to = p.c_at + row * p.columns;
  ${multiply}
}`;
    },
  }));
}

const across = (format: PackedFormat, lanes: number, added: ReturnType<typeof laneSums>, HALF: unknown) => {
  const both = isNibbles(format);
  const dot = dotOf(format, HALF);
  const term = (i: string) => `sum0 += ${dot(`four(at + own * p.words, ${i})`, `whole[${i}]`)};`;
  return `let lane = thread % ${lanes};
  let column = block * ${THREADS / lanes} + thread / ${lanes};
  let own = min(column, p.columns - 1);
  var sum0 = 0.0;
  for (var step = lane; step < p.width / ${both ? 8 : 4}; step += ${lanes}) {
    let i = ${both ? "8 * (step / 4) + step % 4" : "step"};
    ${term("i")}
    ${both ? term("i + 4") : ""}
  }
${added.add}
  if (lane == 0 && column < p.columns) { c[to + column] = ${added.at(0, "0")}; }`;
};

const down = `let place = block * ${SIDE} + thread % ${SIDE};
  var sum = vec4f(0);
  if (place < p.columns / 4) {
    for (var k = thread / ${SIDE}; k < p.width; k += ${THREADS / SIDE}) { sum += whole[k / 4][k % 4] * four(at + k * p.words, place); }
  }
  found[thread] = sum;
  for (var half = ${THREADS / SIDE / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread / ${SIDE} < half) { found[thread] += found[thread + half * ${SIDE}]; }
  }
  workgroupBarrier();
  // The next rows of threads write the other three of the four columns.
  if (place < p.columns / 4 && thread < ${4 * SIDE}) {
    c[to + 4 * place + thread / ${SIDE}] = found[thread % ${SIDE}][thread / ${SIDE}];
  }`;
