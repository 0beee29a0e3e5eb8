import { type Operand, placed } from "../../device/gpu/launcher.ts";
import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { normWebgpu } from "../norm/webgpu.ts";
import { ropeWebgpu } from "../rope/webgpu.ts";
import { apart } from "./apart.ts";
import type { Finish, ReadyKernel } from "./index.ts";
import { vectorCode, vectorNumbers, vectorReads } from "./vector.wgsl.ts";

/** Threads of a workgroup, which has one vector. */
const THREADS = 64;

/**
 * Vectors that are about to be made ready: the launch waits for what comes next, since that is mostly to store some of them, which
 * then is one launch with this (ops/pages). Operands are where they lie: their tensors may be freed meanwhile.
 */
export class Held {
  readonly list: readonly Finish[];
  readonly outs: readonly Tensor[];
  readonly layout: string;
  readonly operands: Readonly<Record<string, Operand | undefined>>;
  readonly numbers: Readonly<Record<string, number>>;
  /** Vectors of all, and of each and those before it. */
  readonly ends: readonly number[];

  constructor(list: readonly Finish[], table: Tensor, layout: string, outs: readonly Tensor[]) {
    [this.list, this.outs, this.layout] = [list, outs, layout];
    const operands: Record<string, Operand | undefined> = { angles: placed(table) };
    const numbers: Record<string, number> = { pairs: table.shape[2]! };
    let end = 0;
    this.ends = list.map(({ x, gain, eps }, i) => {
      const width = x.shape.at(-1)!;
      end += x.size / width;
      operands[`x${i}`] = placed(x);
      operands[`gain${i}`] = gain && placed(gain);
      operands[`out${i}`] = placed(outs[i]!);
      const heads = x.size / width / x.shape[0]!;
      Object.assign(numbers, { [`end${i}`]: end, [`width${i}`]: width, [`heads${i}`]: heads });
      Object.assign(numbers, { [`gains${i}`]: gain?.size ?? 1, [`eps${i}`]: eps });
      return end;
    });
    [this.operands, this.numbers] = [operands, numbers];
  }
}

/** Vectors of some tensors one tensor after the other, normed where it has gains, then turned where asked. */
function shaderFor(list: readonly Finish[], layout: string): Shader {
  const kinds = list.map(({ gain, turned }) => ({ gain: gain !== undefined, turned, kept: false }));
  const key = kinds.map(({ gain, turned }) => `${gain ? "n" : ""}${turned ? "t" : ""}`);
  return shaderOf("ready", `${layout} ${key}`, () => {
    const each = <T extends string>(names: readonly string[], type: T) =>
      Object.fromEntries(names.map((name) => [name, type]));
    return {
      reads: { angles: "f32", ...each(kinds.flatMap(vectorReads), "f32") },
      writes: each(
        kinds.map((_, i) => `out${i}`),
        "f32",
      ),
      numbers: {
        pairs: "u32",
        ...each(
          kinds.flatMap((_, i) => vectorNumbers(i)),
          "u32",
        ),
        ...each(
          kinds.map((_, i) => `eps${i}`),
          "f32",
        ),
      },
      code: ({ SUBGROUP }) => /* wgsl */ `${kinds.some(({ gain }) => gain) ? reductions(THREADS, SUBGROUP) : ""}
${kinds.map((one, i) => vectorCode(one, i, layout, THREADS)).join("\n")}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
${kinds.map((_, i) => `  if (id < p.end${i}) { vector${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
    };
  });
}

const separate = apart({ norm: normWebgpu, rope: ropeWebgpu });

export const readyWebgpu: ReadyKernel = (list, table, layout, outs) => {
  const device = table.device as WebgpuDevice;
  const buffers = list.reduce((sum, { gain }) => sum + (gain ? 3 : 2), 1);
  if (buffers > device.traits.bindings || list.some(({ x }) => x.size === 0)) {
    separate(list, table, layout, outs);
    return;
  }
  const held = new Held(list, table, layout, outs);
  device.withhold(held, () =>
    device.launch(shaderFor(list, layout), {}, held.operands, held.numbers, groupsFor(held.ends.at(-1)!)),
  );
};
