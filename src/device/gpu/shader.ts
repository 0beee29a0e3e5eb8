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
 * What of WGSL's optional parts an adapter has: 16-bit floats, whether products are made of them, threads of a subgroup at least
 * (0: none that shaders know of), and whether there are subgroup matrices.
 */
export interface Dialect {
  readonly f16: boolean;
  readonly half: boolean;
  readonly subgroup: number;
  readonly matrix: boolean;
}

/**
 * The head of a main function of so many threads in a row, up to its first brace: `group`, `groups` and `thread` are there. With
 * subgroups their threads follow one another, and `subgroup_number` and `subgroup_count` are told to all functions.
 */
export function mainOf(threads: number, SUBGROUP: unknown): string {
  const start = `@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,`;
  if (!SUBGROUP) return `${start} @builtin(local_invocation_index) thread: u32) {`;
  return `var<private> subgroup_number: u32 = 0;
var<private> subgroup_count: u32 = 0;
${start} @builtin(subgroup_id) own_subgroup: u32, @builtin(subgroup_size) subgroup_threads: u32, @builtin(subgroup_invocation_id) subgroup_thread: u32) {
  subgroup_number = own_subgroup;
  subgroup_count = (${threads} + subgroup_threads - 1) / subgroup_threads;
  let thread = own_subgroup * subgroup_threads + subgroup_thread;`;
}

/**
 * WGSL that every shader begins with: its bindings and numbers, and `line`, the number of a workgroup that is launched along
 * two axes because one is too short. Its code is told of subgroups by the constant `SUBGROUP`, and of products in 16 bits by `HALF`. Throws DeviceError for a variable of a function without a first value: Dawn (webgpu 0.6.2) sets one
 * in a loop to zero the first time only (findings/loop-variable.sh).
 */
export function sourceOf(shader: Shader, constants: Constants, { f16, half, subgroup, matrix }: Dialect): string {
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
  const code = shader.code({ ...constants, SUBGROUP: subgroup, HALF: half });
  const enables = [
    ...(f16 ? ["enable f16;"] : []),
    ...(subgroup ? ["enable subgroups;", "requires subgroup_id;"] : []),
    ...(matrix ? ["enable chromium_experimental_subgroup_matrix;"] : []),
  ];
  const unset = code.match(/\bvar\s+\w+\s*:[^=;]+;/);
  if (unset) throw new DeviceError(`internal: ${shader.name}: got "${unset[0]}", expected a first value`);
  return `${enables.join("\n")}
struct Numbers { ${fields.join(", ")} }
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
