import type { Shader } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import { DeviceError } from "../../../tensor/error.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { AttendCall } from "../index.ts";
import type { Rows } from "./read.wgsl.ts";

/** Threads of a workgroup. */
export const THREADS = 128;
/** What a score is that its query does not see, and from where on scores count as such. No infinity: compilers may assume there is none. */
export const HIDDEN = "-3.0e38";
export const SEEN = "-2.9e38";
/** What `lse` is over nothing: the bits of -Infinity. */
export const NOTHING = "0xff800000u";

/** A tile: rows that stay with a workgroup, in fours, and rows that are staged for all of its threads, in fours. */
export interface Tile {
  /** Fours of rows that stay, and of rows that are staged. */
  readonly own: number;
  readonly staged: number;
  /** Threads that share a product of four by four rows, each over a part of the width. */
  readonly parts: number;
}

/** Operands side by side in a staged row, in fours of numbers; one that is there twice is staged once. */
export interface Lane {
  readonly rows: Rows;
  /** Fours of numbers, and where they begin in a staged row. */
  readonly fours: number;
  readonly at: number;
  /** Which of the slices of rows it is in: these are staged one after the other. */
  readonly slice: number;
}

/** Lanes of rows that are staged, how many slices they are in, and fours of numbers of a staged row. */
export interface Lanes {
  readonly lanes: readonly Lane[];
  readonly slices: number;
  readonly width: number;
}

/**
 * Lanes for these rows, in as few slices as hold at most so many fours each. A staged row has an odd number of fours, so that rows
 * begin in different banks.
 */
export function lanesOf(list: readonly Rows[], most = Number.POSITIVE_INFINITY): Lanes {
  const lanes: Lane[] = [];
  let [at, slice, width] = [0, 0, 0];
  for (const rows of list) {
    const fours = Math.ceil(rows.e / 4);
    const twin = lanes.find((lane) => lane.rows.name === rows.name);
    if (!twin && at > 0 && at + fours > most) [at, slice] = [0, slice + 1];
    lanes.push(twin ?? { rows, fours, at, slice });
    if (!twin) at += fours;
    width = Math.max(width, at);
  }
  return { lanes, slices: slice + 1, width: width | 1 };
}

/** What a kernel keeps of every pair of rows: products of so many fours that threads share, and other numbers; `beside`: bytes of all else. */
export interface Pairs {
  readonly products: number;
  readonly fours: number;
  readonly others: number;
  readonly beside?: number;
}

/**
 * The tile for `rows` rows that stay and staged rows of `width` fours, with `results` fours summed up per row that stays: as many
 * staged rows as fit. Throws DeviceError where not even four do.
 */
export function tileFor(device: WebgpuDevice, rows: number, width: number, results: number, pairs: Pairs): Tile {
  const tile = fitTile(device, rows, width, results, pairs);
  if (tile) return tile;
  throw new DeviceError(
    `attend: got keys and values of ${4 * width} numbers, expected fewer: workgroups of this adapter share ` +
      `${device.traits.shared} bytes; use narrower heads, or --device wasm`,
  );
}

/** The same for rows that may be staged in slices where they do not fit at once, and the lanes that they are staged in. */
export function slicedTile(
  device: WebgpuDevice,
  rows: number,
  list: readonly Rows[],
  results: number,
  pairs: Pairs,
): { readonly tile: Tile; readonly most: number } {
  const { width } = lanesOf(list);
  for (let most = width; most >= foursOf(list); most = Math.ceil(most / 2)) {
    const tile = fitTile(device, rows, lanesOf(list, most).width, results, pairs);
    if (tile) return { tile, most };
    if (most === 1) break;
  }
  return { tile: tileFor(device, rows, lanesOf(list, foursOf(list)).width, results, pairs), most: foursOf(list) };
}

/** The same, or undefined where not even four rows fit. */
export function fitTile(
  device: WebgpuDevice,
  rows: number,
  width: number,
  results: number,
  pairs: Pairs,
): Tile | undefined {
  // What a thread sums up stays in its registers: for each of its columns 4 numbers of 4 rows.
  const most = results > 64 ? 4 : 8;
  let own = 1;
  while (own < most && 4 * own < rows) own *= 2;
  const { shared } = device.traits;
  // Up to 16 KB several workgroups share a core, and some drivers compile the faster the less there is.
  for (const [bytes, least] of [
    [Math.min(shared, 16384), 2],
    [shared, 1],
  ] as const)
    for (let staged = 8; staged >= least; staged /= 2) {
      const most = Math.min(THREADS / (own * staged), 2 ** Math.floor(Math.log2(pairs.fours)));
      for (let parts = most; parts >= Math.min(most, 2); parts /= 2)
        if (64 * staged * (width + own * (parts * pairs.products + pairs.others)) + (pairs.beside ?? 0) <= bytes)
          return { own, staged, parts };
    }
  return undefined;
}

/** Heads that share every key and value: rows of one tile. */
export function foldedHeads({ h, terms, values }: Pick<AttendCall, "h" | "terms" | "values">): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  return [...terms, ...values].reduce((m, { g }) => divisor(m, h / g), 0);
}

/** The most fours of numbers of any of these rows. */
export function foursOf(list: readonly Rows[]): number {
  return Math.max(...list.map(({ e }) => Math.ceil(e / 4)));
}

/** Rows of keys and values by name; a value that is the very tensor of a key is that key. */
export function operandsOf({ terms, values }: AttendCall): {
  readonly keys: readonly Rows[];
  readonly values: readonly Rows[];
} {
  const keys = terms.map(({ k, e, g }, i): Rows => ({ name: `k${i}`, x: k, e, g }));
  return {
    keys,
    values: values.map(({ v, e, g }, i) => keys.find(({ x }) => x === v) ?? { name: `v${i}`, x: v, e, g }),
  };
}

/** Queries by name. */
export function queriesOf({ terms, h }: AttendCall): readonly Rows[] {
  return terms.map(({ q, e }, i) => ({ name: `q${i}`, x: q, e, g: h }));
}

/** What masks a call has, as numbers of a launch that every kernel of attention takes. */
export const callNumbers = {
  t: "u32",
  s: "u32",
  offset: "i32",
  window: "i32",
  scale: "f32",
} as const;

export function numbersOf({ t, s, window, scale }: AttendCall): Readonly<Record<keyof typeof callNumbers, number>> {
  return { t, s, offset: s - t, window, scale };
}

/** The plain tensors that masks are made of, by the names of the functions that read them. */
export function masksOf({ start, chosen, sinks }: AttendCall): Readonly<Record<string, Tensor | undefined>> {
  return { start, chosen, sinks };
}

/** `visible(key, place, first)`: whether the query at `place` sees a key, both counted within the sequence. */
export function visibleCode({ causal, window, stick }: AttendCall): string {
  const tests = [
    "key >= first",
    ...(causal ? [`key <= place${stick && !stick.current ? " - 1" : ""}`] : []),
    ...(window ? ["key > place - p.window"] : []),
  ];
  return `fn visible(key: i32, place: i32, first: i32) -> bool { return ${tests.join(" && ")}; }`;
}

const known = new Map<string, Shader>();

/** The shader of a class of calls, made once: what `read` declares and what the kernel adds to it. */
export function shaderOf(name: string, key: string, make: () => Omit<Shader, "name">): Shader {
  const whole = `${name} ${key}`;
  let shader = known.get(whole);
  if (!shader) {
    shader = { name, ...make() };
    known.set(whole, shader);
  }
  return shader;
}
