import type { Traits } from "../../device/gpu/adapter.ts";
import { placeOf } from "../../device/gpu/launcher.ts";
import { groupsFor } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Span } from "../../tensor/device.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { direct } from "./direct.wgsl.ts";
import { across, COLUMNS, down, stepsAlong, THREADS } from "./few.wgsl.ts";
import { THREADS as GENERAL, general, wordsOf } from "./general.wgsl.ts";
import { countsOf, KINDS, type Loop, type Loops, lengthOf, MOST, numbersOf } from "./loops.wgsl.ts";
import { matrices, matrixConstants, splitOf } from "./matrix.wgsl.ts";
import { tile, tileBytes } from "./tile.wgsl.ts";
import { THREADS as SUMMED, together } from "./together.wgsl.ts";

/** Rows of a up to which each number of b is read once and no tile is kept. */
export const FEW = 8;

/** Operands of a contraction; what b's words are, and where the parts of its rows lie (see `packedGeometry`). */
export interface Operands {
  readonly a: Span;
  readonly b: Span;
  readonly c: Span;
  readonly format: PackedFormat;
  readonly upper: number;
  readonly scales: number;
}

/** Runs loops over operands on the kernel that suits them. Where b is longer than a binding may be, some rows of it at a time. */
export function launchLoops(device: WebgpuDevice, loops: Loops, operands: Operands, mode: "set" | "add"): void {
  if (4 * operands.b.size <= device.traits.binding) {
    launchWhole(device, loops, operands, mode);
    return;
  }
  const longest = KINDS.flatMap((kind) => loops[kind].map((loop) => ({ kind, loop }))).reduce((x, y) =>
    y.loop.b > x.loop.b ? y : x,
  );
  const { kind, loop } = longest;
  const count = Math.max(1, Math.floor(device.traits.binding / (4 * loop.b)));
  for (let i = 0; i < loop.size; i += count) {
    const size = Math.min(count, loop.size - i);
    const part = { ...loops, [kind]: loops[kind].map((other) => (other === loop ? { ...loop, size } : other)) };
    const { a, b, c } = operands;
    const pieces = {
      ...operands,
      a: from(a, i * loop.a),
      b: { ...from(b, i * loop.b), size: Math.min(size * loop.b, b.size - i * loop.b) },
      c: from(c, i * loop.c),
    };
    launchWhole(device, part, pieces, kind === "k" && i > 0 ? "add" : mode);
  }
}

const from = ({ block, start, size }: Span, elements: number): Span => ({
  block,
  start: start + elements,
  size: size - elements,
});

/** What kernels are told of loops and of b. */
export function describe(loops: Loops, { upper, scales }: Operands, mode: "set" | "add") {
  return {
    batches: lengthOf(loops.batch),
    rows: lengthOf(loops.m),
    columns: lengthOf(loops.n),
    depth: lengthOf(loops.k),
    add: mode === "add" ? 1 : 0,
    upper,
    scales,
    before: 0,
    parts: 1,
    share: lengthOf(loops.k),
    size: 0,
    ...numbersOf(loops),
  };
}

function launchWhole(device: WebgpuDevice, loops: Loops, operands: Operands, mode: "set" | "add"): void {
  const numbers = describe(loops, operands, mode);
  const { a, b, c, format } = operands;
  const { batches, rows, columns } = numbers;
  if (loops.k.length === 0 || KINDS.some((kind) => loops[kind].length > MOST)) {
    const all = KINDS.flatMap((kind) => loops[kind]);
    const size = batches * rows * columns;
    const counts = { size, kept: all.length - loops.k.length, summed: loops.k.length };
    const axes = wordsOf(all);
    device.launch(
      general,
      { FORMAT: format },
      { a, b, axes, c },
      { ...numbers, ...counts },
      groupsFor(Math.ceil(size / GENERAL)),
    );
  } else if (rows <= FEW && isAcross(loops) && isAligned(loops, a)) {
    const { shared, constants } = acrossFor(device, loops, format);
    device.launch(across, constants, { a, b, c }, numbers, groupsFor(Math.ceil((batches * columns) / shared)));
  } else if (rows <= FEW && isDown(loops)) {
    const constants = { ...countsOf(loops), FORMAT: format, ROWS: roundUp(rows) };
    device.launch(down, constants, { a, b, c }, numbers, groupsFor(Math.ceil((batches * columns) / COLUMNS)));
  } else {
    launchTiles(device, loops, operands, mode);
  }
}

/** Tiles, of parts of the summed loops where the result has few of them: so that all of a GPU has work. Parts are added up in order. */
function launchTiles(device: WebgpuDevice, loops: Loops, operands: Operands, mode: "set" | "add"): void {
  const { a, b, c, format } = operands;
  const numbers = describe(loops, operands, mode);
  const { batches, rows, columns, depth } = numbers;
  const { shader, constants } = tileFor(device, loops, format);
  const tiles = batches * Math.ceil(rows / constants.ROWS) * Math.ceil(columns / constants.COLUMNS);
  const parts = c.size === batches * rows * columns ? partsOf(tiles, depth) : 1;
  if (parts === 1) {
    device.launch(shader, constants, { a, b, c }, numbers, groupsFor(tiles));
    return;
  }
  const share = 16 * Math.ceil(depth / parts / 16);
  const all = new Tensor(device, [parts, c.size]);
  const cut = { ...numbers, add: 0, parts, share, size: c.size };
  device.launch(shader, constants, { a, b, c: all }, cut, groupsFor(tiles * parts));
  device.launch(
    together,
    {},
    { all, c },
    { parts, size: c.size, add: numbers.add },
    groupsFor(Math.ceil(c.size / SUMMED)),
  );
  all.free();
}

/** Tiles that a large GPU has room for at once, and places of the summed loops that are worth a part. */
const [ROOM, SHARE] = [128, 256];

const partsOf = (tiles: number, depth: number) =>
  Math.max(1, Math.min(8, Math.floor(ROOM / tiles), Math.floor(depth / SHARE)));

/** Constants of `across`, and columns that a workgroup has. */
export function acrossFor({ traits }: WebgpuDevice, loops: Loops, format: PackedFormat) {
  const [rows, columns] = [roundUp(lengthOf(loops.m)), lengthOf(loops.n)];
  const steps = stepsAlong(format, lengthOf(loops.k));
  const LANES = lanesFor(steps, traits);
  // Rows of b that share what is read of a: where there are enough of them for all of a GPU.
  const EACH = columns >= 1024 && columns % 2 === 0 && rows <= 4 ? 2 : 1;
  return {
    shared: (THREADS / LANES) * EACH,
    constants: { ...countsOf(loops), FORMAT: format, ROWS: rows, LANES, EACH, VISITS: false },
  };
}

/**
 * Threads that share a row of so many steps: some for each, yet enough threads to have much on its way from memory. Where threads of
 * a subgroup know of each other it is no more than these.
 */
export function lanesFor(steps: number, { subgroup }: Pick<Traits, "subgroup">): number {
  const lanes = Math.min(powerOf2(steps), Math.max(8, Math.min(64, powerOf2(steps / 4))));
  return subgroup ? Math.min(lanes, subgroup.least) : lanes;
}

/** Rows or columns for which the tile of subgroup matrices would stay mostly empty. */
const NARROW = 16;

/** A tile that suits the result: its kernel and constants. */
export function tileFor({ traits }: WebgpuDevice, loops: Loops, format: PackedFormat) {
  const [rows, columns] = [lengthOf(loops.m), lengthOf(loops.n)];
  const [a, b] = [loops.m.at(-1)?.a === 1 && loops.k.at(-1)?.a !== 1, loops.n.at(-1)?.column === 1];
  const tiles = Math.ceil(rows / 128) * Math.ceil(columns / 128) * lengthOf(loops.batch);
  const { software } = traits;
  const large = !software && tiles >= 64 && traits.shared >= tileBytes(128, 128);
  const side = (n: number, other: number) => (n <= 16 && other > 32 ? 16 : n <= 32 ? 32 : 64);
  const [ROWS, COLUMNS] = large ? [128, 128] : [side(rows, columns), side(columns, rows)];
  const FOURS = sumsAlongRows(loops) && (format !== "F32" || lengthOf(loops.k) % 4 === 0);
  const given = { ...countsOf(loops), FORMAT: format, VISITS: false, A_DOWN: a, B_DOWN: b && !FOURS, FOURS };
  const split = software || Math.min(rows, columns) <= NARROW ? undefined : splitOf(traits);
  if (split) return { shader: matrices, constants: { ...given, ...matrixConstants(split, traits.matrix!) } };
  const constants = { ...given, ROWS, COLUMNS, EACH: large || software ? 8 : 4 };
  return { shader: software ? direct : tile, constants };
}

/** Whether b's rows are what is summed along, and nothing else goes along them. */
function sumsAlongRows({ batch, m, n, k }: Loops): boolean {
  return k.length === 1 && k[0]!.column === 1 && k[0]!.b === 0 && [...batch, ...m, ...n].every(isStill);
}

const isStill = ({ column }: Loop) => column === 0;

/** Whether `across` may run: sums along b's rows and a's. */
export function isAcross(loops: Loops): boolean {
  return sumsAlongRows(loops) && loops.k[0]!.a === 1 && loops.k[0]!.size % 4 === 0;
}

/** Whether all of a's rows begin on whole vectors. */
export function isAligned({ batch, m }: Loops, a: Span): boolean {
  return placeOf(a).at % 16 === 0 && [...batch, ...m].every((loop) => loop.a % 4 === 0);
}

function isDown({ batch, n, k }: Loops): boolean {
  const inner = n.at(-1);
  return inner?.column === 1 && inner.size % 4 === 0 && [...batch, ...n.slice(0, -1), ...k].every(isStill);
}

const powerOf2 = (n: number) => 2 ** Math.floor(Math.log2(Math.max(1, n)));
/** Rows for which there is code: 1, 2, 4, 8. */
const roundUp = (rows: number) => 2 ** Math.ceil(Math.log2(rows));
