import type { Operand } from "../../../device/gpu/launcher.ts";
import { groupsFor, mainOf, type Shader } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import type { Span } from "../../../tensor/device.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { THREADS } from "../../einsum/few.wgsl.ts";
import type { Operands } from "../../einsum/launch.wgsl.ts";
import type { Loops } from "../../einsum/loops.wgsl.ts";
import { type Heads, headNumbers, headsCode, headsOf } from "./heads.wgsl.ts";
import { mergeCode } from "./pieces.wgsl.ts";
import { shaderOf } from "./tile.wgsl.ts";

// Absorbed attention ends with a matrix for each head: results over pieces of the keys are put together by the launch that multiplies.

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

  /**
   * Puts rows together and multiplies them, if these loops multiply each head's row by the head's own matrix: whether they do. With a
   * `gain` for each of some groups of heads, rows plus what they come to, times that.
   */
  multiply(loops: Loops, operands: Operands, gain?: Tensor): boolean {
    const { out, sinks } = this.#operands;
    const { a } = operands;
    if (a.block !== out.block || a.start !== out.start || a.size !== out.size) return false;
    const heads = headsOf(this.#device.traits, loops, operands, gain ? rowsAlike(this.#numbers) : this.#numbers);
    if (!heads || (gain && sinks)) return false;
    this.#device.take();
    launchUp(this.#device, heads, { ...this.#operands, ...heads.operands }, this.#numbers, gain);
    return true;
  }
}

/** Rows of heads that all have one matrix. */
export const rowsAlike = ({ rows, width }: { readonly rows: number; readonly width: number }) => ({
  h: rows,
  width,
  rows,
});

/** Enqueues such products; `pieces`: of rows that are to be put together, 0 of rows as they lie. */
export function launchUp(
  device: WebgpuDevice,
  heads: Heads,
  operands: Readonly<Record<string, Operand | undefined>>,
  numbers: Readonly<Record<"rows" | "pieces" | "width" | "h", number>>,
  gain: Tensor | undefined,
): void {
  const ways = { merged: numbers.pieces > 0, sinks: operands.sinks !== undefined, blended: gain !== undefined };
  const groups = gain?.shape[0] ?? 1;
  device.launch(
    shaderFor(heads, ways),
    {},
    { ...operands, ...(gain && { gain }) },
    { ...numbers, groups, per: numbers.h / groups, ...heads.numbers },
    groupsFor(heads.numbers.all),
  );
}

function shaderFor(heads: Heads, ways: { merged: boolean; sinks: boolean; blended: boolean }): Shader {
  const { format, lanes, width } = heads;
  const { merged, sinks, blended } = ways;
  return shaderOf("attendUp", `${format} ${lanes} ${width} ${JSON.stringify(ways)}`, () => ({
    reads: {
      ...{ parts: "f32" as const, ...(merged && { sinks: "f32" as const }), b: "u32" as const },
      ...(blended && { gain: "f32" as const }),
    },
    writes: { ...(merged && { out: "f32" as const }), c: "f32" },
    numbers: { ...headNumbers, rows: "u32", pieces: "u32", width: "u32", groups: "u32", per: "u32" },
    code(constants) {
      const { memory, weigh } = mergeCode(THREADS, sinks);
      const product = headsCode(heads, constants, (column, sum) =>
        blended
          ? `whole[${column} / 4][${column} % 4] + gain[p.gain_at + row / p.per % p.groups * p.columns + ${column}] * ${sum}`
          : sum,
      );
      const number = merged ? "merged(row, 4 * i + j)" : `parts[p.parts_at + row * ${width} + 4 * i + j]`;
      return /* wgsl */ `${merged ? memory : ""}
${product.memory}
${mainOf(THREADS, constants.SUBGROUP)}
  let id = line(group, groups);
  if (id >= p.all) { return; }
  let row = id / p.blocks;
  let block = id % p.blocks;
  ${merged ? weigh : ""}
  for (var i = thread; i < ${Math.ceil(width / 4)}; i += ${THREADS}) {
    var x = vec4f(0);
    for (var j = 0u; j < min(4, ${width} - 4 * i); j++) {
      x[j] = ${number};
      ${merged ? `if (block == 0) { out[p.out_at + row * ${width} + 4 * i + j] = x[j]; }` : ""}
    }
    whole[i] = x;
  }
  ${product.multiply}
}`;
    },
  }));
}
