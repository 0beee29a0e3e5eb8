import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { normWebgpu } from "../norm/webgpu.ts";
import { ropeWebgpu } from "../rope/webgpu.ts";
import { apart } from "./apart.ts";
import type { Finish, ReadyKernel } from "./index.ts";

/** Threads of a workgroup, which has one vector. */
const THREADS = 64;

/** Vectors of some tensors one tensor after the other, normed where it has gains, then turned where asked. */
function shaderFor(list: readonly Finish[], layout: string): Shader {
  const kinds = list.map(({ gain, turned }) => `${gain ? "n" : ""}${turned ? "t" : ""}`);
  return shaderOf("ready", `${layout} ${kinds}`, () => {
    const each = <T extends string>(names: (i: number) => readonly string[], type: T) =>
      Object.fromEntries(list.flatMap((_, i) => names(i).map((name) => [name, type])));
    return {
      reads: {
        angles: "f32",
        ...each((i) => [`x${i}`, ...(list[i]!.gain ? [`gain${i}`] : [])], "f32"),
      },
      writes: each((i) => [`out${i}`], "f32"),
      numbers: {
        pairs: "u32",
        ...each((i) => [`end${i}`, `width${i}`, `heads${i}`, `gains${i}`], "u32"),
        ...each((i) => [`eps${i}`], "f32"),
      },
      code: ({ SUBGROUP }) => /* wgsl */ `${list.some(({ gain }) => gain) ? reductions(THREADS, SUBGROUP) : ""}
${list.map((one, i) => vectorCode(one, i, layout)).join("\n")}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
${list.map((_, i) => `  if (id < p.end${i}) { vector${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
    };
  });
}

function vectorCode({ gain, turned }: Finish, i: number, layout: string): string {
  return /* wgsl */ `
fn number${i}(at: u32, k: u32, r: f32) -> f32 {
  return x${i}[p.x${i}_at + at + k]${gain ? ` * r * gain${i}[p.gain${i}_at + (at + k) % p.gains${i}]` : ""};
}
fn vector${i}(id: u32, thread: u32) {
  let at = id * p.width${i};
${
  gain
    ? `  var squares = 0.0;
  for (var k = thread; k < p.width${i}; k += ${THREADS}) { squares += x${i}[p.x${i}_at + at + k] * x${i}[p.x${i}_at + at + k]; }
  let r = 1.0 / sqrt(sum_of(thread, squares) / f32(p.width${i}) + p.eps${i});`
    : "  let r = 1.0;"
}
  let to = p.out${i}_at + at;
${
  turned
    ? `  let still = p.width${i} - 2 * p.pairs;
  for (var k = thread; k < still; k += ${THREADS}) { out${i}[to + k] = number${i}(at, k, r); }
  let table = p.angles_at + id / p.heads${i} * 2 * p.pairs;
  for (var pair = thread; pair < p.pairs; pair += ${THREADS}) {
    let first = still + ${layout === "interleaved" ? "2 * pair" : "pair"};
    let second = first + ${layout === "interleaved" ? "1" : "p.pairs"};
    let cos = angles[table + pair];
    let sin = angles[table + p.pairs + pair];
    let u = number${i}(at, first, r);
    let v = number${i}(at, second, r);
    out${i}[to + first] = u * cos - v * sin;
    out${i}[to + second] = u * sin + v * cos;
  }`
    : `  for (var k = thread; k < p.width${i}; k += ${THREADS}) { out${i}[to + k] = number${i}(at, k, r); }`
}
}`;
}

const separate = apart({ norm: normWebgpu, rope: ropeWebgpu });

export const readyWebgpu: ReadyKernel = (list, table, layout, outs) => {
  const device = table.device as WebgpuDevice;
  const buffers = list.reduce((sum, { gain }) => sum + (gain ? 3 : 2), 1);
  if (buffers > device.traits.bindings || list.some(({ x }) => x.size === 0)) {
    separate(list, table, layout, outs);
    return;
  }
  const operands: Record<string, (typeof list)[number]["x"] | undefined> = { angles: table };
  const numbers: Record<string, number> = { pairs: table.shape[2]! };
  let end = 0;
  list.forEach(({ x, gain, eps }, i) => {
    const width = x.shape.at(-1)!;
    end += x.size / width;
    operands[`x${i}`] = x;
    operands[`gain${i}`] = gain;
    operands[`out${i}`] = outs[i];
    const heads = x.size / width / x.shape[0]!;
    Object.assign(numbers, { [`end${i}`]: end, [`width${i}`]: width, [`heads${i}`]: heads });
    Object.assign(numbers, { [`gains${i}`]: gain?.size ?? 1, [`eps${i}`]: eps });
  });
  device.launch(shaderFor(list, layout), {}, operands, numbers, groupsFor(end));
};
