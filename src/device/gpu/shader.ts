import { DeviceError } from "../../tensor/error.ts";

/** What stands for a value that is fixed when a shader is compiled. */
export type Constants = Readonly<Record<string, number | boolean | string>>;

/** Elements that a binding may be declared with; all are whole 4-byte words, or four of them. */
export type Element = "f32" | "u32" | "i32" | "vec4f" | "vec4u";

/** A WGSL kernel: what it is given, and its code. */
export interface Shader {
  readonly name: string;
  /** Storage buffers that it only reads, and those that it writes or updates, by name, as arrays of such elements. */
  readonly reads: Readonly<Record<string, Element>>;
  readonly writes: Readonly<Record<string, Element>>;
  /** Numbers of a launch; the code finds them in `p`. Of each buffer `x`, `p.x_at` is where it begins, in 4-byte words. */
  readonly numbers: Readonly<Record<string, "f32" | "u32" | "i32">>;
  /** Its functions, among them `@compute fn main`, for these constants. */
  readonly code: (constants: Constants) => string;
}

/** Words of the numbers of one launch at most, places of buffers included. */
export const WORDS = 64;

/**
 * WGSL that every shader begins with: its bindings and numbers, and `line`, the number of a workgroup that is launched along
 * two axes because one is too short. Throws DeviceError for a variable of a function without a first value: Dawn (webgpu 0.6.2) sets one
 * in a loop to zero the first time only (findings/loop-variable.sh).
 */
export function sourceOf(shader: Shader, constants: Constants, f16: boolean): string {
  const { reads, writes, numbers } = shader;
  const buffers = [...Object.entries(reads), ...Object.entries(writes)];
  const fields = [
    ...buffers.map(([name]) => `${name}_at: u32`),
    ...Object.entries(numbers).map(([n, t]) => `${n}: ${t}`),
  ];
  const bindings = buffers.map(
    ([name, element], i) =>
      `@group(0) @binding(${i}) var<storage, ${name in writes ? "read_write" : "read"}> ${name}: array<${element}>;`,
  );
  const code = shader.code(constants);
  const unset = code.match(/\bvar\s+\w+\s*:[^=;]+;/);
  if (unset) throw new DeviceError(`internal: ${shader.name}: got "${unset[0]}", expected a first value`);
  return `${f16 ? "enable f16;\n" : ""}struct Numbers { ${fields.join(", ")} }
@group(1) @binding(0) var<uniform> p: Numbers;
${bindings.join("\n")}
fn line(group: vec3u, groups: vec3u) -> u32 { return group.x + group.y * groups.x; }
${code}`;
}

/** Workgroups along two axes for `count` of them (see `line`); those beyond have nothing to do and must say so. */
export function groupsFor(count: number): readonly [number, number] {
  const x = Math.min(count, 32768);
  return [x, x === 0 ? 1 : Math.ceil(count / x)];
}
