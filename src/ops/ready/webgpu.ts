import { type Operand, placed } from "../../device/gpu/launcher.ts";
import { groupsFor, mainOf, type Shader, WORDS } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Span } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { normWebgpu } from "../norm/webgpu.ts";
import { ropeWebgpu } from "../rope/webgpu.ts";
import { apart } from "./apart.ts";
import { type Bound, bindOnce, operandsOf } from "./bound.ts";
import type { Finish, ReadyKernel } from "./index.ts";
import { type Vector, vectorCode, vectorNumbers, vectorReads } from "./vector.wgsl.ts";

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
  /** Where each vector is read, and where it is put. */
  readonly sources: readonly Span[];
  readonly results: Bound;
  /** What else is bound, and numbers. */
  readonly operands: Readonly<Record<string, Operand | undefined>>;
  readonly numbers: Readonly<Record<string, number>>;
  /** Vectors of all, and of each and those before it. */
  readonly ends: readonly number[];

  constructor(list: readonly Finish[], table: Tensor, layout: string, outs: readonly Tensor[]) {
    [this.list, this.outs, this.layout] = [list, outs, layout];
    this.sources = list.map(({ x }) => placed(x));
    this.results = bindOnce(outs.map(placed));
    const operands: Record<string, Operand | undefined> = { angles: placed(table) };
    const numbers: Record<string, number> = { pairs: table.shape[2]! };
    let end = 0;
    this.ends = list.map(({ x, gain, bias, eps }, i) => {
      const width = x.shape.at(-1)!;
      end += x.size / width;
      operands[`gain${i}`] = gain && placed(gain);
      operands[`bias${i}`] = bias && placed(bias);
      const heads = x.size / width / x.shape[0]!;
      Object.assign(numbers, { [`end${i}`]: end, [`width${i}`]: width, [`heads${i}`]: heads });
      Object.assign(numbers, { [`gains${i}`]: gain?.size ?? 1, [`eps${i}`]: eps, [`to${i}`]: this.results.from[i]! });
      return end;
    });
    Object.assign(operands, operandsOf("out", this.results));
    [this.operands, this.numbers] = [operands, numbers];
  }

  /** What the code of each vector depends on, where sources are bound so; `kept`: whether it is left for what follows. */
  vectors(bound: Bound, kept: (i: number) => boolean): Vector[] {
    return this.list.map(({ gain, bias, turned }, i) => ({
      ...{ gain: gain !== undefined, bias: bias !== undefined, turned, kept: kept(i) },
      ...{ source: bound.of[i]!, result: this.results.of[i]! },
    }));
  }
}

/** Where sources begin in what they are read from, as numbers of a launch. */
export const fromNumbers = ({ from }: Bound) => Object.fromEntries(from.map((at, i) => [`from${i}`, at]));

const floats = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, "f32" as const]));

/** Vectors of some tensors one tensor after the other, normed where it has gains, then turned where asked. */
function shaderFor(vectors: readonly Vector[], layout: string): Shader {
  return shaderOf("ready", JSON.stringify([layout, vectors]), () => ({
    reads: floats(["angles", ...vectors.map(({ source }) => `x${source}`), ...vectors.flatMap(vectorReads)]),
    writes: floats(vectors.map(({ result }) => `out${result}`)),
    numbers: { pairs: "u32", ...Object.assign({}, ...vectors.map(vectorNumbers)) },
    code: ({ SUBGROUP }) => /* wgsl */ `${vectors.some(({ gain }) => gain) ? reductions(THREADS, SUBGROUP) : ""}
${vectors.map((one, i) => vectorCode(one, i, layout, THREADS)).join("\n")}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
${vectors.map((_, i) => `  if (id < p.end${i}) { vector${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
  }));
}

const separate = apart({ norm: normWebgpu, rope: ropeWebgpu });

export const readyWebgpu: ReadyKernel = (list, table, layout, outs) => {
  const device = table.device as WebgpuDevice;
  const held = new Held(list, table, layout, outs);
  const bound = bindOnce(held.sources);
  const shader = shaderFor(
    held.vectors(bound, () => false),
    layout,
  );
  if (!fits(device, shader) || list.some(({ x }) => x.size === 0)) {
    // One vector alone always fits; only the norm of a layer has no launch of its own.
    list.forEach((one, i) => {
      if (one.bias && one.x.size && list.length > 1) readyWebgpu([one], table, layout, [outs[i]!]);
      else if (!one.bias) separate([one], table, layout, [outs[i]!]);
    });
    return;
  }
  const operands = { ...held.operands, ...operandsOf("x", bound) };
  const numbers = { ...held.numbers, ...fromNumbers(bound) };
  device.withhold(held, () => device.launch(shader, {}, operands, numbers, groupsFor(held.ends.at(-1)!)));
};

/** Whether a launch may have as many buffers and numbers. */
export function fits({ traits }: WebgpuDevice, { reads, writes, numbers }: Shader): boolean {
  const buffers = Object.keys(reads).length + Object.keys(writes).length;
  return buffers <= traits.bindings && buffers + Object.keys(numbers).length <= WORDS;
}
