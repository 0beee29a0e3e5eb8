import { exponential } from "../../device/gpu/function.ts";
import type { Operand } from "../../device/gpu/launcher.ts";
import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { LEAST, type Short, type ShortKernel } from "./short.ts";

/** Threads of a workgroup, which has the vectors of one head. */
const THREADS = 64;

const buffersOf = ({ bias, before }: Short) => 3 + (bias ? 1 : 0) + (before ? 1 : 0);

function shaderFor(list: readonly Short[]): Shader {
  const key = list.map(({ bias, before, unit }) => `${!!bias} ${!!before} ${!!unit}`).join(";");
  return shaderOf("short", key, () => ({
    reads: Object.fromEntries(
      list.flatMap(({ bias }, i) => [`x${i}`, `w${i}`, ...(bias ? [`bias${i}`] : [])].map((name) => [name, "f32"])),
    ),
    writes: Object.fromEntries(
      list.flatMap(({ before }, i) => [`out${i}`, ...(before ? [`tail${i}`] : [])].map((name) => [name, "f32"])),
    ),
    numbers: {
      t: "u32",
      ...Object.fromEntries(
        list.flatMap((_, i) => [`end${i}`, `n${i}`, `channels${i}`, `width${i}`].map((name) => [name, "u32"])),
      ),
    } as Shader["numbers"],
    code: ({ SUBGROUP }) => /* wgsl */ `${exponential}
${list.some(({ unit }) => unit) ? reductions(THREADS, SUBGROUP) : ""}
${list.map(vectorsCode).join("\n")}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
${list.map((_, i) => `  if (id < p.end${i}) { vectors${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
  }));
}

/** A thread has the same channels of every token, so what it leaves of them for the next call is its own. */
function vectorsCode({ bias, before, unit }: Short, i: number): string {
  return /* wgsl */ `
fn vectors${i}(head: u32, thread: u32) {
  let end = (head + 1) * p.n${i};
  let kept = p.width${i} - 1;
  for (var token = 0u; token < p.t; token++) {
    let to = p.out${i}_at + token * p.channels${i};
    var squares = 0.0;
    for (var c = head * p.n${i} + thread; c < end; c += ${THREADS}) {
      var sum = ${bias ? `bias${i}[p.bias${i}_at + c]` : "0.0"};
      for (var tap = 0u; tap <= kept; tap++) {
        var input = 0.0;
        if (token + tap >= kept) { input = x${i}[p.x${i}_at + (token + tap - kept) * p.channels${i} + c]; }
        ${before ? `else { input = tail${i}[p.tail${i}_at + (token + tap) * p.channels${i} + c]; }` : ""}
        sum += w${i}[p.w${i}_at + c * p.width${i} + tap] * input;
      }
      let y = sum / (1.0 + expOf(-sum));
      squares += y * y;
      out${i}[to + c] = y;
    }
    ${
      unit
        ? `let r = 1.0 / sqrt(sum_of(thread, squares) + ${LEAST});
    for (var c = head * p.n${i} + thread; c < end; c += ${THREADS}) { out${i}[to + c] *= r; }`
        : ""
    }
  }
  ${
    before
      ? `for (var c = head * p.n${i} + thread; c < end; c += ${THREADS}) {
    for (var k = 0u; k < kept; k++) {
      let at = p.tail${i}_at + k * p.channels${i} + c;
      if (k + p.t >= kept) { tail${i}[at] = x${i}[p.x${i}_at + (k + p.t - kept) * p.channels${i} + c]; }
      else { tail${i}[at] = tail${i}[at + p.t * p.channels${i}]; }
    }
  }`
      : ""
  }
}`;
}

export const shortWebgpu: ShortKernel = (list, outs) => {
  const device = outs[0]!.device as WebgpuDevice;
  let open: number[] = [];
  const close = () => {
    if (open.length)
      launch(
        device,
        open.map((i) => list[i]!),
        open.map((i) => outs[i]!),
      );
    open = [];
  };
  outs.forEach(({ size }, i) => {
    if (size === 0) return;
    if ([...open, i].reduce((sum, j) => sum + buffersOf(list[j]!), 0) > device.traits.bindings) close();
    open.push(i);
  });
  close();
};

function launch(device: WebgpuDevice, list: readonly Short[], outs: readonly Tensor[]): void {
  const operands: Record<string, Operand | undefined> = {};
  const numbers: Record<string, number> = { t: outs[0]!.shape[0]! };
  let end = 0;
  list.forEach(({ x, w, bias, before }, i) => {
    const [, heads = 0, n = 0] = x.shape;
    end += heads;
    Object.assign(operands, {
      [`x${i}`]: x,
      [`w${i}`]: w,
      [`bias${i}`]: bias,
      [`tail${i}`]: before,
      [`out${i}`]: outs[i],
    });
    Object.assign(numbers, {
      [`end${i}`]: end,
      [`n${i}`]: n,
      [`channels${i}`]: heads * n,
      [`width${i}`]: w.shape.at(-1)!,
    });
  });
  device.launch(shaderFor(list), {}, operands, numbers, groupsFor(end));
}
