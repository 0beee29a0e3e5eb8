import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { PAGE, type Paging } from "../../tensor/page.ts";
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

const numbers = { first: "u32", count: "u32", rows_at: "u32", scales_at: "u32" } as const;

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

/** The scale of 8-bit numbers, a workgroup for each: the largest magnitude over 127; what is no finite number stays as it is. */
const storeScales: Shader = {
  name: "storeScales",
  reads: { x: "u32", table: "u32" },
  writes: { pages: "u32" },
  numbers,
  code: ({ WIDTH, GROUPS }) => /* wgsl */ `
${divide}
var<workgroup> most: array<u32, ${THREADS}>;
${head}
  let number = line(group, groups);
  if (number >= p.count * ${GROUPS}) { return; }
  let begin = p.x_at + number * ${Number(WIDTH) / Number(GROUPS)};
  var largest = 0u;
  for (var i = thread; i < ${Number(WIDTH) / Number(GROUPS)}; i += ${THREADS}) { largest = max(largest, x[begin + i] & 0x7fffffff); }
  most[thread] = largest;
  for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { most[thread] = max(most[thread], most[thread + half]); }
  }
  if (thread > 0) { return; }
  let token = p.first + number / ${GROUPS};
  let page = table[p.table_at + token / ${PAGE}];
  pages[page + p.scales_at + token % ${PAGE} * ${GROUPS} + number % ${GROUPS}] = select(bitcast<u32>(divide(most[0], 0x42fe0000)), most[0], most[0] >= 0x7f800000);
}`,
};

/** Numbers in their type, a word for each thread: of a word that holds a part of another row that part stays. */
const storeNumbers: Shader = {
  name: "storePages",
  reads: { x: "u32", table: "u32" },
  writes: { pages: "u32" },
  numbers,
  code: ({ WIDTH, GROUPS, TYPE, PER }) => {
    const bits = 32 / Number(PER);
    const narrow: Readonly<Record<string, string>> = {
      f32: "bits",
      bf16: "select((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, (bits >> 16) | 0x40, (bits & 0x7fffffff) > 0x7f800000)",
      q8: `whole(bits, pages[page + p.scales_at + token % ${PAGE} * ${GROUPS} + at % ${WIDTH} / ${Number(WIDTH) / Number(GROUPS)}])`,
    };
    const whole = `${divide}
fn whole(bits: u32, scale: u32) -> u32 {
  let magnitude = min(127, i32(round(divide(bits & 0x7fffffff, scale))));
  return u32(select(magnitude, -magnitude, bits >> 31 == 1)) & 0xff;
}`;
    return /* wgsl */ `
${TYPE === "q8" ? whole : ""}
${head}
  let begin = p.first * ${WIDTH};
  let end = begin + p.count * ${WIDTH};
  let number = begin / ${PER} + line(group, groups) * ${THREADS} + thread;
  if (number * ${PER} >= end) { return; }
  let page = table[p.table_at + number * ${PER} / ${Number(WIDTH) * PAGE}];
  let word = page + p.rows_at + number - number * ${PER} / ${Number(WIDTH) * PAGE} * ${(Number(WIDTH) * PAGE) / Number(PER)};
  var packed = ${PER === 1 ? "0u" : "pages[word]"};
  for (var k = 0u; k < ${PER}; k++) {
    let at = number * ${PER} + k;
    if (at < begin || at >= end) { continue; }
    let token = at / ${WIDTH};
    let bits = x[p.x_at + at - begin];
    packed = insertBits(packed, ${narrow[String(TYPE)]}, k * ${bits}, ${bits});
  }
  pages[word] = packed;
}`;
  },
};

export const storePagesWebgpu: StoreKernel = (from, paged, at, rows) => {
  from.forEach((all, part) => {
    let first = 0;
    rows.forEach((n, i) => {
      storeRows(all.rows(first, first + n), paged[part]![i]!, at[i]!);
      first += n;
    });
  });
};

function storeRows(from: Tensor, paged: Tensor, at: number): void {
  const device = from.device as WebgpuDevice;
  const paging = paged.paging!;
  const [n = 0] = from.shape;
  if (from.size === 0) return;
  const first = Math.floor(at / PAGE);
  const few: Paging = { ...paging, pages: paging.pages.slice(first, Math.ceil((at + n) / PAGE)) };
  const { operands } = bindPages([few]);
  const [width, per] = [from.size / n, perWord[paging.type]];
  const constants = { WIDTH: width, GROUPS: paging.groups, TYPE: paging.type, PER: per };
  const places = { x: from, table: operands.table, pages: operands.pages0 };
  const start = at - first * PAGE;
  const given = { first: start, count: n, rows_at: paging.offset / 4, scales_at: paging.scales / 4 };
  if (paging.type === "q8") device.launch(storeScales, constants, places, given, groupsFor(n * paging.groups));
  const words = Math.ceil(((start + n) * width) / per) - Math.floor((start * width) / per);
  device.launch(storeNumbers, constants, places, given, groupsFor(Math.ceil(words / THREADS)));
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
