import { type Operand, placed } from "../../device/gpu/launcher.ts";
import type { Stretch } from "../../device/gpu/memory.ts";
import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { type CacheType, PAGE, type Paging } from "../../tensor/page.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { arenaOf, bindPages, read } from "../attend/gpu/read.wgsl.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { bindOnce, operandsOf } from "../ready/bound.ts";
import type { Vector } from "../ready/vector.wgsl.ts";
import { fits, fromNumbers, Held } from "../ready/webgpu.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";
import { type Item, largestCode, narrow, perWord, rowShader, scaleOf, THREADS, whole } from "./row.wgsl.ts";

const head = `@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {`;

/** The scale of 8-bit numbers, a workgroup for each. */
const storeScales: Shader = {
  name: "storeScales",
  reads: { x: "u32", table: "u32" },
  writes: { pages: "u32" },
  numbers: { first: "u32", count: "u32", scales_at: "u32" },
  code: ({ WIDTH, GROUPS }) => /* wgsl */ `
${whole}
var<workgroup> most: array<u32, ${THREADS}>;
${head}
  let number = line(group, groups);
  if (number >= p.count * ${GROUPS}) { return; }
  let begin = p.x_at + number * ${Number(WIDTH) / Number(GROUPS)};
  ${largestCode(`${Number(WIDTH) / Number(GROUPS)}`, (i) => `x[begin + ${i}]`)}
  if (thread > 0) { return; }
  let token = p.first + number / ${GROUPS};
  let page = table[p.table_at + token / ${PAGE}];
  pages[page + p.scales_at + token % ${PAGE} * ${GROUPS} + number % ${GROUPS}] = ${scaleOf("most[0]")};
}`,
};

/** Numbers in their type, a word for each thread: of a word that holds a part of another row that part stays. */
const storeWords: Shader = {
  name: "storeWords",
  reads: { x: "u32", table: "u32" },
  writes: { pages: "u32" },
  numbers: { first: "u32", count: "u32", rows_at: "u32", scales_at: "u32" },
  code(constants) {
    const [width, groups, type] = [Number(constants.WIDTH), Number(constants.GROUPS), constants.TYPE as CacheType];
    const per = perWord[type];
    const bits = 32 / per;
    const byte = `whole(bits, pages[page + p.scales_at + token % ${PAGE} * ${groups} + at % ${width} / ${width / groups}])`;
    return /* wgsl */ `
${type === "q8" ? whole : ""}
${head}
  let begin = p.first * ${width};
  let end = begin + p.count * ${width};
  let number = begin / ${per} + line(group, groups) * ${THREADS} + thread;
  if (number * ${per} >= end) { return; }
  let page = table[p.table_at + number * ${per} / ${width * PAGE}];
  let word = page + p.rows_at + number - number * ${per} / ${width * PAGE} * ${(width * PAGE) / per};
  var packed = pages[word];
  for (var k = 0u; k < ${per}; k++) {
    let at = number * ${per} + k;
    if (at < begin || at >= end) { continue; }
    let token = at / ${width};
    let bits = x[p.x_at + at - begin];
    packed = insertBits(packed, ${{ f32: "bits", bf16: narrow, q8: byte }[type]}, k * ${bits}, ${bits});
  }
  pages[word] = packed;
}`;
  },
};

/** A part of the caches: its new rows, where they lie on a page, and numbers of a vector, of which a row has one or several. */
interface Part {
  readonly x: Tensor;
  readonly paging: Paging;
  readonly width: number;
}

export const storePagesWebgpu: StoreKernel = (from, paged, at, rows) => {
  const device = from[0]!.device as WebgpuDevice;
  const held = device.withheld instanceof Held ? device.withheld : undefined;
  const parts = from.map((x, p): Part => {
    const { type, groups } = paged[p]![0]!.paging!;
    const row = x.size / x.shape[0]!;
    return { x, paging: paged[p]![0]!.paging!, width: type === "q8" ? row / groups : x.shape.at(-1)! };
  });
  const wholeWords = parts.every(({ paging, width }) => width % perWord[paging.type] === 0);
  const widest = Math.max(...parts.map(({ width }) => width));
  const lists = paged[0]!.map(({ paging }) => paging!.pages);
  const [first] = lists;
  const together = first && lists.every((pages) => arenaOf(pages) === arenaOf(first));
  if (!wholeWords || !together || 4 * widest > device.traits.shared - 2048) {
    storeApart(from, paged, at, rows);
    return;
  }
  // Of each row the page and the slot on it.
  const places = new Int32Array(2 * from[0]!.shape[0]!);
  let row = 0;
  rows.forEach((n, i) => {
    for (let token = at[i]!; token < at[i]! + n; token++) {
      places[row++] = (lists[i]![Math.floor(token / PAGE)]!.block as Stretch).offset / 4;
      places[row++] = token % PAGE;
    }
  });
  const { pages0 } = bindPages([parts[0]!.paging]).operands;
  const common = { places, pages: pages0 };
  if (held && storeHeld(device, held, parts, common, widest)) return;
  for (let i = 0; i < parts.length; ) {
    // As many parts as a launch can bind; one it can.
    let end = parts.length;
    while (!storeParts(device, undefined, parts.slice(i, end), common, widest)) end--;
    i = end;
  }
};

/** Rows of parts, some of which are made ready by the same launch: false where that is more than a launch can bind. */
function storeHeld(
  device: WebgpuDevice,
  held: Held,
  parts: readonly Part[],
  common: Readonly<Record<string, Operand | undefined>>,
  widest: number,
): boolean {
  const made = parts.filter(({ x, width }) => held.outs.includes(x) && x.shape.at(-1) === width);
  if (parts.some(({ x }) => held.outs.includes(x) && !made.some((one) => one.x === x))) return false;
  return storeParts(device, held, parts, common, widest);
}

/** Whether that is no more than a launch can bind, and was enqueued. */
function storeParts(
  device: WebgpuDevice,
  held: Held | undefined,
  parts: readonly Part[],
  common: Readonly<Record<string, Operand | undefined>>,
  widest: number,
): boolean {
  const plain = parts.filter(({ x }) => !held?.outs.includes(x));
  const bound = bindOnce([...(held?.sources ?? []), ...plain.map(({ x }) => placed(x))]);
  const operands = { ...held?.operands, ...operandsOf("x", bound), ...common };
  const numbers: Record<string, number> = { pairs: 0, ...held?.numbers, ...fromNumbers(bound) };
  const items: Item[] = [];
  const add = (vector: Vector | undefined, part: Part | undefined) => {
    const i = items.length;
    items.push({ vector, source: bound.of[i]!, type: part?.paging.type });
    numbers[`rows${i}_at`] = (part?.paging.offset ?? 0) / 4;
    numbers[`scales${i}_at`] = (part?.paging.scales ?? 0) / 4;
  };
  const stored = held?.outs.map((out) => parts.find(({ x }) => x === out));
  held?.vectors(bound, (i) => stored![i] !== undefined).forEach((vector, i) => void add(vector, stored![i]));
  let end = held?.ends.at(-1) ?? 0;
  for (const part of plain) {
    const { x, width } = part;
    const i = items.length;
    end += x.size / width;
    Object.assign(numbers, { [`end${i}`]: end, [`width${i}`]: width, [`heads${i}`]: x.size / width / x.shape[0]! });
    add(undefined, part);
  }
  const layout = held?.layout ?? "";
  const most = 2 ** Math.ceil(Math.log2(widest));
  const shader = shaderOf("storeRows", JSON.stringify([items, layout, most]), () => rowShader(items, layout, most));
  if (!fits(device, shader)) return false;
  if (held) device.take();
  device.launch(shader, {}, operands, numbers, groupsFor(end));
  return true;
}

/** Where words hold parts of several rows, or caches lie in several buffers: a part of a sequence after the other. */
function storeApart(...[from, paged, at, rows]: Parameters<StoreKernel>): void {
  const device = from[0]!.device as WebgpuDevice;
  let row = 0;
  rows.forEach((n, i) => {
    const [first, last] = [row, row + n];
    row = last;
    if (n === 0) return;
    const page = Math.floor(at[i]! / PAGE);
    const start = at[i]! - page * PAGE;
    from.forEach((all, p) => {
      const { pages: list, ...paging } = paged[p]![i]!.paging!;
      const { type, groups, offset, scales } = paging;
      const x = all.rows(first, last);
      const width = x.size / n;
      const pages = list.slice(page, Math.ceil((at[i]! + n) / PAGE));
      const { table, pages0 } = bindPages([{ ...paging, pages }]).operands;
      const operands = { x, table, pages: pages0 };
      const numbers = { first: start, count: n, rows_at: offset / 4, scales_at: scales / 4 };
      if (type === "q8")
        device.launch(storeScales, { WIDTH: width, GROUPS: groups }, operands, numbers, groupsFor(n * groups));
      const per = perWord[type];
      const words = Math.ceil(((start + n) * width) / per) - Math.floor((start * width) / per);
      const constants = { WIDTH: width, GROUPS: groups, TYPE: type };
      device.launch(storeWords, constants, operands, numbers, groupsFor(Math.ceil(words / THREADS)));
    });
  });
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
