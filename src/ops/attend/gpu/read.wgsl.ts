import type { Operand } from "../../../device/gpu/launcher.ts";
import type { Stretch } from "../../../device/gpu/memory.ts";
import type { Element, Shader } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import { DeviceError } from "../../../tensor/error.ts";
import { PAGE, type Page, type Paging } from "../../../tensor/page.ts";
import { Tensor } from "../../../tensor/tensor.ts";

/** Rows that a kernel reads four numbers at a time: of each row `g` groups, of each group `e` numbers from `from` on, `step` apart. */
export interface Rows {
  readonly name: string;
  readonly x: Tensor;
  readonly e: number;
  readonly g: number;
  /** Numbers of a group, `e` unless given, and the first that is read, 0 unless given. */
  readonly step?: number;
  readonly from?: number;
}

/** What a launch reads: its bindings and numbers, and WGSL functions by which the kernel gets at them. */
export interface Reading {
  /** All that the code depends on. */
  readonly key: string;
  readonly reads: Shader["reads"];
  readonly numbers: Shader["numbers"];
  /** `fn NAME(row: u32, group: u32, i: u32) -> vec4f` of each of the rows: numbers 4 i to 4 i + 3, zeros beyond the last. */
  readonly code: string;
  readonly operands: Readonly<Record<string, Operand | undefined>>;
  readonly given: Readonly<Record<string, number>>;
  /** Gives back what was taken to read several tensors through one binding. */
  free(): void;
}

/** Where a tensor's first number lies, in WGSL: the buffer, and the number of a 4-byte word. */
type Place = readonly [buffer: string, at: string];

/**
 * Binds rows, plain or on pages, and plain tensors (`fn NAME(i: u32) -> f32`) with at most `room` storage buffers: pages of one
 * cache take one, and where plain tensors are too many the smallest are copied side by side into one.
 */
export function read(
  device: WebgpuDevice,
  rows: readonly Rows[],
  plain: Readonly<Record<string, Tensor | undefined>>,
  room: number,
): Reading {
  const reads: Record<string, Element> = {};
  const numbers: Record<string, "u32"> = {};
  const operands: Record<string, Operand> = {};
  const given: Record<string, number> = {};
  const code: string[] = [];
  const paged = bindPages(rows.flatMap(({ x }) => x.paging ?? []));
  Object.assign(operands, paged.operands);
  for (const name of Object.keys(paged.operands)) reads[name] = name === "table" ? "i32" : "u32";

  const tensors = new Set(rows.map(({ x }) => x).filter(({ paging }) => !paging));
  for (const x of Object.values(plain)) if (x) tensors.add(x);
  const left = room - Object.keys(operands).length;
  const joined =
    tensors.size <= left ? [] : [...tensors].sort((a, b) => a.size - b.size).slice(0, tensors.size - left + 1);
  if (left < 1)
    throw new DeviceError(`attend: got keys on pages of several caches, expected one cache; copy them first`);
  const joint = joined.length ? new Tensor(device, [joined.reduce((sum, { size }) => sum + size, 0)]) : undefined;
  if (joint) [reads.joint, operands.joint] = ["f32", joint];
  const places = new Map<Tensor, Place>();
  let at = 0;
  for (const x of tensors) {
    const name = `x${places.size}`;
    if (joint && joined.includes(x)) {
      const to = joint.reshape([joint.size]).rows(at, at + x.size);
      device.copy(x, to);
      numbers[`${name}_in`] = "u32";
      given[`${name}_in`] = at;
      at += x.size;
      places.set(x, ["joint", `p.joint_at + p.${name}_in`]);
    } else {
      [reads[name], operands[name]] = ["f32", x];
      places.set(x, [name, `p.${name}_at`]);
    }
  }

  for (const one of rows) {
    const { x, name } = one;
    if (!x.paging) {
      code.push(plainRows(one, places.get(x)!));
      continue;
    }
    const { pages, offset, scales } = x.paging;
    for (const what of ["table", "rows", "scales"]) numbers[`${name}_${what}`] = "u32";
    given[`${name}_table`] = paged.tables.get(pages) ?? 0;
    given[`${name}_rows`] = offset / 4;
    given[`${name}_scales`] = scales / 4;
    code.push(pagedRows(one, paged.arenas.get(arenaOf(pages))!));
  }
  for (const [name, x] of Object.entries(plain)) {
    if (!x) continue;
    const [buffer, first] = places.get(x)!;
    code.push(`fn ${name}(i: u32) -> f32 { return ${buffer}[${first} + i]; }`);
  }
  const text = code.join("\n");
  return { key: text, reads, numbers, code: text, operands, given, free: () => joint?.free() };
}

/** The arena that all pages of a list lie in. Throws DeviceError. */
export function arenaOf(pages: readonly Page[]): Stretch["arena"] {
  const { arena } = pages[0]!.block as Stretch;
  if (pages.some(({ block }) => (block as Stretch).arena !== arena))
    throw new DeviceError("internal: pages of one cache lie in several buffers, expected blocks of one pool");
  return arena;
}

/** One binding for each arena, and one table of where pages begin, in words. */
export function bindPages(list: readonly Paging[]) {
  const arenas = new Map<Stretch["arena"], string>();
  const tables = new Map<readonly Page[], number>();
  const operands: Record<string, Operand> = {};
  const table: number[] = [];
  for (const { pages } of list) {
    if (tables.has(pages) || pages.length === 0) continue;
    const arena = arenaOf(pages);
    if (!arenas.has(arena)) {
      const name = `pages${arenas.size}`;
      arenas.set(arena, name);
      const block: Stretch = { arena, offset: 0, elements: arena.buffer.size / 4 };
      operands[name] = { block, start: 0, size: block.elements };
    }
    tables.set(pages, table.length);
    for (const { block } of pages) table.push((block as Stretch).offset / 4);
  }
  if (table.length) operands.table = Int32Array.from(table);
  return { arenas, tables, operands };
}

function plainRows({ name, e, g, step = e, from = 0 }: Rows, [buffer, first]: Place): string {
  const number = (k: number) => `${buffer}[at + ${k}]`;
  return `fn ${name}(row: u32, group: u32, i: u32) -> vec4f {
  let at = ${first} + (row * ${g} + group) * ${step} + ${from} + 4 * i;
  ${four(e, number)}
}`;
}

/** Four numbers, of which those from the e-th on are zeros. */
function four(e: number, number: (k: number) => string): string {
  const list = [0, 1, 2, 3].map((k) =>
    k === 0 || e % 4 === 0 ? number(k) : `select(0.0, ${number(k)}, 4 * i + ${k} < ${e})`,
  );
  return `return vec4f(${list.join(", ")});`;
}

/** Rows of a cache: row r on page r / PAGE, in its type. */
function pagedRows({ name, x, e, g }: Rows, pages: string): string {
  const { type, groups } = x.paging!;
  const width = e * g;
  const head = `let page = u32(table[p.table_at + p.${name}_table + row / ${PAGE}]);
  let slot = row % ${PAGE};
  let at = slot * ${width} + group * ${e} + 4 * i;
  let rows = page + p.${name}_rows;`;
  if (type === "f32")
    return `fn ${name}(row: u32, group: u32, i: u32) -> vec4f {
  ${head}
  ${four(e, (k) => `bitcast<f32>(${pages}[rows + at + ${k}])`)}
}`;
  if (type === "bf16") {
    const fast = `let low = ${pages}[rows + at / 2];
  let high = ${pages}[rows + at / 2 + 1];
  return bitcast<vec4f>(vec4u(low << 16, low & 0xffff0000, high << 16, high & 0xffff0000));`;
    const half = (k: number) => `bitcast<f32>((${pages}[rows + (at + ${k}) / 2] >> (16 * ((at + ${k}) % 2))) << 16)`;
    return `fn ${name}(row: u32, group: u32, i: u32) -> vec4f {
  ${head}
  ${e % 4 === 0 ? fast : four(e, half)}
}`;
  }
  const scale = (k: number) =>
    `bitcast<f32>(${pages}[page + p.${name}_scales + slot * ${groups} + (group * ${e} + 4 * i + ${k}) / ${width / groups}])`;
  const byte = (k: number) =>
    `f32(i32(${pages}[rows + (at + ${k}) / 4] << (24 - 8 * ((at + ${k}) % 4))) >> 24) * ${scale(k)}`;
  const fast = `let word = ${pages}[rows + at / 4];
  let whole = vec4i(vec4u(word << 24, word << 16, word << 8, word)) >> vec4u(24);
  return vec4f(whole) * ${scale(0)};`;
  return `fn ${name}(row: u32, group: u32, i: u32) -> vec4f {
  ${head}
  ${e % 4 === 0 && (width / groups) % 4 === 0 ? fast : four(e, byte)}
}`;
}
