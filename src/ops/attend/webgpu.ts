import { groupsFor } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type Forward, forwardShader, tilesOf } from "./gpu/forward.wgsl.ts";
import { pieces as mergePieces, sticks } from "./gpu/pieces.wgsl.ts";
import { read } from "./gpu/read.wgsl.ts";
import { foldedHeads, foursOf, lanesOf, masksOf, numbersOf, operandsOf, queriesOf, tileFor } from "./gpu/tile.wgsl.ts";
import type { AttendCall, AttendEachKernel, AttendKernel } from "./index.ts";

/** Workgroups that keep a large GPU busy, and staged tiles of a piece of keys at least: a piece costs a row of results. */
const BUSY = 512;
const LEAST = 4;

export const attendWebgpu: AttendKernel = (call, out, lse) => {
  if (out.size === 0) return;
  const device = out.device as WebgpuDevice;
  const m = foldedHeads(call);
  const { keys, values } = operandsOf(call);
  const { width } = lanesOf([...keys, ...values]);
  const results = values.reduce((sum, { e }) => sum + Math.ceil(e / 4), 0);
  const tile = tileFor(device, call.chosen ? m : call.t * m, width, results, {
    products: 1,
    fours: foursOf(keys),
    others: 2,
  });
  const tiles = tilesOf({ call, tile, m });
  const others = call.batch * (call.h / m) * tiles;
  const { per, count } = piecesOf(call, others, 4 * tile.staged);
  const wide = values.reduce((sum, { e }) => sum + e, 0);
  const slots = call.stick?.remainder ? count + 1 : count;
  const parts = count > 1 ? new Tensor(device, [call.batch * call.t * call.h * slots, wide + 2]) : undefined;
  const queries = queriesOf(call);
  const of: Forward = { call, tile, m, queries, keys, values, pieces: count > 1, lse: !parts && lse !== undefined };
  const { start, chosen, sinks } = masksOf(call);
  const rows = [...queries, ...keys, ...values.filter((value) => !keys.includes(value))];
  const room = device.traits.bindings - (of.lse ? 2 : 1);
  const reading = read(device, rows, { start, chosen, sinks: parts ? undefined : sinks }, room);
  const all = others * count;
  device.launch(
    forwardShader(of, reading),
    {},
    { ...reading.operands, out: parts ?? out, ...(of.lse ? { lse } : {}) },
    { ...reading.given, ...numbersOf(call), tiles, pieces: count, per, all },
    groupsFor(all),
  );
  reading.free();
  if (!parts) return;
  const merged = call.batch * call.t * call.h;
  const numbers = { rows: merged, pieces: count, width: wide };
  if (call.stick) {
    const constants = { REMAINDER: call.stick.remainder, LSE: lse !== undefined };
    device.launch(sticks, constants, { parts, out, lse }, numbers, groupsFor(merged));
  } else {
    const constants = { SINKS: sinks !== undefined, LSE: lse !== undefined };
    device.launch(mergePieces, constants, { parts, sinks, out, lse }, { ...numbers, h: call.h }, groupsFor(merged));
  }
  parts.free();
};

export const attendEachWebgpu: AttendEachKernel = (calls, outs) => {
  calls.forEach((call, i) => void attendWebgpu(call, outs[i]!, undefined));
};

/** Pieces of the keys where there is too little else to share out: keys of each, whole tiles of `block`, and how many. */
function piecesOf({ s, chosen }: AttendCall, others: number, block: number) {
  const keys = chosen?.shape[1] ?? s;
  const most = Math.max(1, Math.floor(keys / (LEAST * block)));
  const wanted = Math.min(most, Math.max(1, Math.floor(BUSY / others)));
  const per = Math.max(1, Math.ceil(keys / wanted / block)) * block;
  return { per, count: Math.max(1, Math.ceil(keys / per)) };
}
