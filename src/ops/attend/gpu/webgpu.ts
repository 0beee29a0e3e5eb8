import { groupsFor } from "../../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../../device/webgpu.ts";
import { Tensor } from "../../../tensor/tensor.ts";
import type { AttendBackwardKernel, AttendCall } from "../index.ts";
import { type Backward, queriesShader } from "./backward.wgsl.ts";
import { tilesOf } from "./forward.wgsl.ts";
import { keysShader } from "./keys.wgsl.ts";
import { type Rows, read } from "./read.wgsl.ts";
import { copies, deltas, EACH, sinkGradients } from "./rows.wgsl.ts";
import { foldedHeads, foursOf, lanesOf, numbersOf, operandsOf, queriesOf, slicedTile, tileFor } from "./tile.wgsl.ts";

/** Segments of the keys of a broken stick at most: of every row, what is left is kept for each. */
const SEGMENTS = 32;

export const attendBackwardWebgpu: AttendBackwardKernel = (call, out, lse, g, { dq, dk, dv, dsinks }) => {
  const device = out.device as WebgpuDevice;
  const rows = call.batch * call.t * call.h;
  const delta = new Tensor(device, [rows]);
  const width = call.values.reduce((sum, { e }) => sum + e, 0);
  device.launch(deltas, {}, { out, g, delta }, { rows, width }, groupsFor(Math.ceil(rows / EACH)));
  if (dsinks) {
    const numbers = { rows: rows / call.h, h: call.h };
    device.launch(sinkGradients, {}, { sinks: call.sinks, lse, delta, out: dsinks }, numbers, groupsFor(call.h));
  }
  const { start, chosen, stick } = call;
  const plain = { lse, delta, start, chosen };
  // Whole tiles of either kernel.
  const segment = Math.ceil(call.s / SEGMENTS / 32) * 32;
  const left = stick ? new Tensor(device, [Math.ceil(call.s / segment), rows, 2]) : undefined;
  const m = foldedHeads(call);
  const whole = { call, m, queries: queriesOf(call), ...operandsOf(call), gout: goutOf(call, g) };
  reverseQueries(device, whole, plain, dq, segment, left);
  reverseKeys(device, whole, plain, [...dk, ...dv], segment, left);
  delta.free();
  left?.free();
};

type Whole = Omit<Backward, "tile" | "wanted">;
type Plain = Readonly<Record<string, Tensor | undefined>>;

function reverseQueries(
  device: WebgpuDevice,
  whole: Whole,
  plain: Plain,
  dq: readonly (Tensor | undefined)[],
  segment: number,
  left: Tensor | undefined,
): void {
  const { call, m, queries, keys, values, gout } = whole;
  const wanted = numbersWanted(dq);
  if (!wanted.length && !left) return;
  const { width } = lanesOf([...keys, ...values]);
  const results = wanted.reduce((sum, i) => sum + Math.ceil(keys[i]!.e / 4), 0);
  const pairs = { products: 2, fours: foursOf([...keys, ...values]), others: left ? 3 : 1 };
  const tile = tileFor(device, call.chosen ? m : call.t * m, width, results, pairs);
  const of: Backward = { ...whole, tile, wanted };
  const room = device.traits.bindings - wanted.length - (left ? 1 : 0);
  const reading = read(device, distinct([...queries, ...keys, ...values, ...gout]), plain, room);
  const tiles = tilesOf(of);
  const all = call.batch * (call.h / m) * tiles;
  device.launch(
    queriesShader(of, reading),
    {},
    { ...reading.operands, ...Object.fromEntries(wanted.map((i) => [`dq${i}`, dq[i]])), ...(left ? { left } : {}) },
    { ...reading.given, ...numbersOf(call), tiles, all, segment, rows: call.batch * call.t * call.h },
    groupsFor(all),
  );
  reading.free();
}

function reverseKeys(
  device: WebgpuDevice,
  whole: Whole,
  plain: Plain,
  gradients: readonly (Tensor | undefined)[],
  segment: number,
  left: Tensor | undefined,
): void {
  const { call, m, queries, keys, values, gout } = whole;
  const wanted = numbersWanted(gradients);
  if (!wanted.length) return;
  const operands = [...keys, ...values];
  const results = wanted.reduce((sum, i) => sum + Math.ceil(operands[i]!.e / 4), 0);
  const pairs = { products: 2, fours: foursOf(operands), others: 2 };
  const { tile, most } = slicedTile(device, call.s, [...queries, ...gout], results, pairs);
  const of: Backward = { ...whole, tile, wanted, most };
  const own = left ? segment : 4 * tile.own;
  const tiles = Math.ceil(call.s / own);
  const all = call.batch * (call.h / m) * tiles;
  const room = device.traits.bindings - wanted.length - (left ? 1 : 0);
  const reading = read(device, distinct([...queries, ...keys, ...values, ...gout]), plain, room);
  const targets = wanted.map((i) => {
    const count = call.h / m / operands[i]!.g;
    const to = gradients[i]!;
    return { i, count, to, into: count > 1 ? new Tensor(device, [count, to.size]) : to };
  });
  device.launch(
    keysShader(of, reading),
    {},
    {
      ...reading.operands,
      ...Object.fromEntries(targets.map(({ i, into }) => [`d${i}`, into])),
      ...(left ? { left } : {}),
    },
    {
      ...reading.given,
      ...numbersOf(call),
      tiles,
      all,
      segment: own,
      rows: call.batch * call.t * call.h,
      batch: call.batch,
    },
    groupsFor(all),
  );
  reading.free();
  for (const { count, to, into } of targets) {
    if (count === 1) continue;
    device.launch(copies, {}, { parts: into, out: to }, { size: to.size, count }, groupsFor(Math.ceil(to.size / EACH)));
    into.free();
  }
}

/** The output's gradient as rows for each value. */
function goutOf({ values, h }: AttendCall, g: Tensor): readonly Rows[] {
  const step = values.reduce((sum, { e }) => sum + e, 0);
  return values.map(({ e }, i): Rows => {
    const from = values.slice(0, i).reduce((sum, value) => sum + value.e, 0);
    return { name: `g${i}`, x: g, e, g: h, step, from };
  });
}

function distinct(list: readonly Rows[]): readonly Rows[] {
  return list.filter(({ name }, i) => list.findIndex((other) => other.name === name) === i);
}

function numbersWanted(list: readonly (Tensor | undefined)[]): readonly number[] {
  return list.flatMap((x, i) => (x ? [i] : []));
}
