import type { WebgpuDevice } from "../webgpu.ts";
import type { Operand } from "./launcher.ts";
import { type Constants, groupsFor, type Shader } from "./shader.ts";

/** Threads of a workgroup, each with one number. */
const THREADS = 256;

/** A shader that works number by number: `body` is WGSL for number `i` of `p.size`, `before` the functions that it calls. */
export function eachShader(
  { name, reads, writes, numbers = {} }: Partial<Shader> & Pick<Shader, "name" | "reads" | "writes">,
  body: (constants: Constants) => string,
  before = "",
): Shader {
  return {
    name,
    reads,
    writes,
    numbers: { size: "u32", ...numbers },
    code: (constants) => /* wgsl */ `${before}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
${body(constants)}
}`,
  };
}

/** Enqueues such a shader for `size` numbers. */
export function launchEach(
  device: WebgpuDevice,
  shader: Shader,
  constants: Constants,
  operands: Readonly<Record<string, Operand | undefined>>,
  size: number,
  numbers: Readonly<Record<string, number>> = {},
): void {
  device.launch(shader, constants, operands, { size, ...numbers }, groupsFor(Math.ceil(size / THREADS)));
}
