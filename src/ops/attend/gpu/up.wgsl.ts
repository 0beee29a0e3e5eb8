import { groupsFor, mainOf, type Shader } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import type { Span } from "../../../tensor/device.ts";
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

  /** Puts rows together and multiplies them, if these loops multiply each head's row by the head's own matrix: whether they do. */
  multiply(loops: Loops, operands: Operands): boolean {
    const { out, sinks } = this.#operands;
    const { a } = operands;
    if (a.block !== out.block || a.start !== out.start || a.size !== out.size) return false;
    const heads = headsOf(this.#device.traits, loops, operands, this.#numbers);
    if (!heads) return false;
    this.#device.take();
    this.#device.launch(
      shaderFor(heads, sinks !== undefined),
      {},
      { ...this.#operands, ...heads.operands },
      { ...this.#numbers, ...heads.numbers },
      groupsFor(heads.numbers.all),
    );
    return true;
  }
}

function shaderFor(heads: Heads, sinks: boolean): Shader {
  const { format, lanes, width } = heads;
  return shaderOf("attendUp", `${format} ${lanes} ${width} ${sinks}`, () => ({
    reads: { parts: "f32", sinks: "f32", b: "u32" },
    writes: { out: "f32", c: "f32" },
    numbers: { ...headNumbers, rows: "u32", pieces: "u32", width: "u32" },
    code(constants) {
      const { memory, weigh } = mergeCode(THREADS, sinks);
      const product = headsCode(heads, constants);
      return /* wgsl */ `${memory}
${product.memory}
${mainOf(THREADS, constants.SUBGROUP)}
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
  ${product.multiply}
}`;
    },
  }));
}
