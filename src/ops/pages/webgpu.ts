import type { Operand } from "../../device/gpu/launcher.ts";
import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { type CacheType, PAGE, type Paging } from "../../tensor/page.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { bindPages, read } from "../attend/gpu/read.wgsl.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";

/** Threads of a workgroup. */
const THREADS = 64;

const head = `@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {`;

/** Numbers of a 4-byte word. */
const perWord = { f32: 1, bf16: 2, q8: 4 } as const;

/** The quotient of two positive numbers to the nearest float32, which WGSL's own is not: by long division. Below 2^-126 it is 0. */
const divide = `fn divide(a: u32, b: u32) -> f32 {
  var exponent = i32(a >> 23) - i32(b >> 23) + 127;
  let divisor = (b & 0x7fffff) | 0x800000;
  var rest = (a & 0x7fffff) | 0x800000;
  if (rest < divisor) { rest *= 2; exponent -= 1; }
  var quotient = 0u;
  for (var i = 0; i < 25; i++) {
    quotient *= 2;
    if (rest >= divisor) { rest -= divisor; quotient += 1; }
    rest *= 2;
  }
  let half = quotient & 1;
  quotient /= 2;
  if (half == 1 && (rest != 0 || (quotient & 1) == 1)) { quotient += 1; }
  if (a >> 23 == 0 || b >> 23 == 0 || exponent <= 0) { return 0; }
  return bitcast<f32>((u32(exponent) << 23) + quotient - 0x800000);
}`;

/** The scale of 8-bit numbers, a workgroup for each. */
const storeScales: Shader = {
  name: "storeScales",
  reads: { x: "u32", table: "u32" },
  writes: { pages: "u32" },
  numbers: { first: "u32", count: "u32", scales_at: "u32" },
  code: ({ WIDTH, GROUPS }) => /* wgsl */ `
${divide}
var<workgroup> most: array<u32, ${THREADS}>;
${head}
  let number = line(group, groups);
  if (number >= p.count * ${GROUPS}) { return; }
  let begin = p.x_at + number * ${Number(WIDTH) / Number(GROUPS)};
  ${largestCode(Number(WIDTH) / Number(GROUPS))}
  if (thread > 0) { return; }
  let token = p.first + number / ${GROUPS};
  let page = table[p.table_at + token / ${PAGE}];
  pages[page + p.scales_at + token % ${PAGE} * ${GROUPS} + number % ${GROUPS}] = ${scaleOf("most[0]")};
}`,
};

/** A part of a cache as its new rows are stored: numbers of a row and their scales, and whether these are found on the way. */
interface Stored {
  readonly width: number;
  readonly groups: number;
  readonly type: CacheType;
  readonly scaled: boolean;
}

/** The new rows of several parts, the workgroups of one part after those of another. */
function storeShader(list: readonly Stored[]): Shader {
  const key = list.map(({ width, groups, type, scaled }) => `${width} ${groups} ${type} ${scaled}`).join(";");
  return shaderOf("storePages", key, () => ({
    reads: { ...Object.fromEntries(list.map((_, i) => [`x${i}`, "u32" as const])), table: "u32" },
    writes: { pages: "u32" },
    numbers: {
      ...{ first: "u32", count: "u32" },
      ...Object.fromEntries(
        list.flatMap((_, i) => [`end${i}`, `rows${i}_at`, `scales${i}_at`]).map((name) => [name, "u32" as const]),
      ),
    },
    code: () => /* wgsl */ `
${list.some(({ type }) => type === "q8") ? whole : ""}
${list.some(({ scaled }) => scaled) ? `var<workgroup> most: array<u32, ${THREADS}>;` : ""}
${list.map((part, i) => (part.scaled ? scaledCode(part, i) : wordsCode(part, i))).join("\n")}
${head}
  let id = line(group, groups);
${list.map((_, i) => `  if (id < p.end${i}) { part${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
  }));
}

const whole = `${divide}
fn whole(bits: u32, scale: u32) -> u32 {
  let magnitude = min(127, i32(round(divide(bits & 0x7fffffff, scale))));
  return u32(select(magnitude, -magnitude, bits >> 31 == 1)) & 0xff;
}`;

/** WGSL of a scale: the largest magnitude over 127; what is no finite number stays as it is. */
const scaleOf = (largest: string) =>
  `select(bitcast<u32>(divide(${largest}, 0x42fe0000)), ${largest}, ${largest} >= 0x7f800000)`;

/** A workgroup finds the largest magnitude of so many numbers. */
const largestCode = (each: number) => `var largest = 0u;
  for (var i = thread; i < ${each}; i += ${THREADS}) { largest = max(largest, x[begin + i] & 0x7fffffff); }
  most[thread] = largest;
  for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { most[thread] = max(most[thread], most[thread + half]); }
  }`;

/** Numbers in their type, a word for each thread: of a word that holds a part of another row that part stays. */
function wordsCode({ width, groups, type }: Stored, p: number): string {
  const per = perWord[type];
  const bits = 32 / per;
  const narrow: Readonly<Record<CacheType, string>> = {
    f32: "bits",
    bf16: "select((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, (bits >> 16) | 0x40, (bits & 0x7fffffff) > 0x7f800000)",
    q8: `whole(bits, pages[page + p.scales${p}_at + token % ${PAGE} * ${groups} + at % ${width} / ${width / groups}])`,
  };
  return /* wgsl */ `
fn part${p}(id: u32, thread: u32) {
  let begin = p.first * ${width};
  let end = begin + p.count * ${width};
  let number = begin / ${per} + id * ${THREADS} + thread;
  if (number * ${per} >= end) { return; }
  let page = table[p.table_at + number * ${per} / ${width * PAGE}];
  let word = page + p.rows${p}_at + number - number * ${per} / ${width * PAGE} * ${(width * PAGE) / per};
  var packed = ${per === 1 ? "0u" : "pages[word]"};
  for (var k = 0u; k < ${per}; k++) {
    let at = number * ${per} + k;
    if (at < begin || at >= end) { continue; }
    let token = at / ${width};
    let bits = x${p}[p.x${p}_at + at - begin];
    packed = insertBits(packed, ${narrow[type]}, k * ${bits}, ${bits});
  }
  pages[word] = packed;
}`;
}

/** 8-bit numbers and their scale by a workgroup, where a scale's numbers are whole words. */
function scaledCode({ width, groups }: Stored, p: number): string {
  const each = width / groups;
  return /* wgsl */ `
fn part${p}(id: u32, thread: u32) {
  let begin = p.x${p}_at + id * ${each};
  ${largestCode(each).replaceAll("x[", `x${p}[`)}
  workgroupBarrier();
  let most = most[0];
  let scale = ${scaleOf("most")};
  let token = p.first + id / ${groups};
  let page = table[p.table_at + token / ${PAGE}];
  if (thread == 0) { pages[page + p.scales${p}_at + token % ${PAGE} * ${groups} + id % ${groups}] = scale; }
  let to = page + p.rows${p}_at + (token % ${PAGE} * ${width} + id % ${groups} * ${each}) / 4;
  for (var i = thread; i < ${each / 4}; i += ${THREADS}) {
    var packed = 0u;
    for (var k = 0u; k < 4; k++) { packed = insertBits(packed, whole(x${p}[begin + 4 * i + k], scale), k * 8, 8); }
    pages[to + i] = packed;
  }
}`;
}

export const storePagesWebgpu: StoreKernel = (from, paged, at, rows) => {
  let row = 0;
  rows.forEach((n, i) => {
    const [first, last] = [row, row + n];
    row = last;
    const parts = from.map((all, part) => ({ x: all.rows(first, last), paging: paged[part]![i]!.paging! }));
    if (n > 0) storeRows(parts, at[i]!, n);
  });
};

/** Stores the new rows of a sequence, all parts in one launch but for the scales of numbers that share words with others'. */
function storeRows(parts: readonly { readonly x: Tensor; readonly paging: Paging }[], at: number, n: number): void {
  const device = parts[0]!.x.device as WebgpuDevice;
  const first = Math.floor(at / PAGE);
  const start = at - first * PAGE;
  const pages = parts[0]!.paging.pages.slice(first, Math.ceil((at + n) / PAGE));
  const { table, pages0 } = bindPages([{ ...parts[0]!.paging, pages }]).operands;
  const operands: Record<string, Operand | undefined> = { table, pages: pages0 };
  const numbers: Record<string, number> = { first: start, count: n };
  let end = 0;
  const list = parts.map(({ x, paging }, i): Stored => {
    const { type, groups, offset, scales } = paging;
    const width = x.size / n;
    const scaled = type === "q8" && (width / groups) % 4 === 0;
    if (type === "q8" && !scaled) {
      const given = { first: start, count: n, scales_at: scales / 4 };
      const constants = { WIDTH: width, GROUPS: groups };
      device.launch(storeScales, constants, { x, table, pages: pages0 }, given, groupsFor(n * groups));
    }
    const per = perWord[type];
    const words = Math.ceil(((start + n) * width) / per) - Math.floor((start * width) / per);
    end += scaled ? n * groups : Math.ceil(words / THREADS);
    operands[`x${i}`] = x;
    Object.assign(numbers, { [`end${i}`]: end, [`rows${i}_at`]: offset / 4, [`scales${i}_at`]: scales / 4 });
    return { width, groups, type, scaled };
  });
  device.launch(storeShader(list), {}, operands, numbers, groupsFor(end));
}

export const loadPagesWebgpu: LoadKernel = (paged, rows, out) => {
  if (out.size === 0) return;
  const device = out.device as WebgpuDevice;
  const [n = 0] = out.shape;
  const width = out.size / n;
  const plain = typeof rows === "number" ? {} : { named: rows };
  const reading = read(device, [{ name: "cached", x: paged, e: width, g: 1 }], plain, device.traits.bindings - 1);
  const fours = Math.ceil(width / 4);
  const shader = shaderOf("loadPages", `${reading.key} ${width} ${typeof rows}`, () => ({
    reads: reading.reads,
    writes: { out: "u32" },
    numbers: { ...reading.numbers, first: "u32", count: "u32", tokens: "i32" },
    code: () => /* wgsl */ `
${reading.code}
${head}
  let number = line(group, groups) * ${THREADS} + thread;
  if (number >= p.count * ${fours}) { return; }
  let i = number / ${fours};
  let row = ${typeof rows === "number" ? "i32(p.first + i)" : "i32(named(i))"};
  var x = vec4u(select(0x7fc00000u, 0u, row < 0));
  if (row >= 0 && row < p.tokens) { x = bitcast<vec4u>(cached(u32(row), 0, number % ${fours})); }
  for (var k = 0u; k < min(4, ${width} - 4 * (number % ${fours})); k++) {
    out[p.out_at + i * ${width} + 4 * (number % ${fours}) + k] = x[k];
  }
}`,
  }));
  const given = { first: typeof rows === "number" ? rows : 0, count: n, tokens: paged.shape[0]! };
  const groups = groupsFor(Math.ceil((n * fours) / THREADS));
  device.launch(shader, {}, { ...reading.operands, out }, { ...reading.given, ...given }, groups);
  reading.free();
};
