import { placed } from "../../device/gpu/launcher.ts";
import { groupsFor } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { PAGE } from "../../tensor/page.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { fewShader, THREADS } from "./gpu/few.wgsl.ts";
import { type Forward, forwardShader } from "./gpu/forward.wgsl.ts";
import { matrixShader } from "./gpu/matrix.wgsl.ts";
import { pieces as mergePieces, sticks } from "./gpu/pieces.wgsl.ts";
import { arenaOf, read } from "./gpu/read.wgsl.ts";
import { sharesOf } from "./gpu/share.wgsl.ts";
import { foldedHeads, masksOf, numbersOf, operandsOf, queriesOf } from "./gpu/tile.wgsl.ts";
import { Apart } from "./gpu/up.wgsl.ts";
import type { AttendCall, AttendEachKernel, AttendKernel } from "./index.ts";

export const attendWebgpu: AttendKernel = (call, out, lse) => run(call, out, lse, undefined);

/** `lengths`: keys of each sequence where they differ; rows of sequences are then `s` apart. */
function run(call: AttendCall, out: Tensor, lse: Tensor | undefined, lengths: Int32Array | undefined): void {
  if (out.size === 0) return;
  const device = out.device as WebgpuDevice;
  const m = foldedHeads(call);
  const { keys, values } = operandsOf(call);
  const { tile, tiles, per, pieces, all, alone, choosing, split } = sharesOf(
    device,
    call,
    lengths ? Math.max(...lengths) : call.s,
  );
  // Before anything is enqueued, which would have it made by a launch of its own.
  if (choosing) device.take();
  const wide = values.reduce((sum, { e }) => sum + e, 0);
  const slots = call.stick?.remainder ? pieces + 1 : pieces;
  const parts = pieces > 1 ? new Tensor(device, [call.batch * call.t * call.h * slots, wide + 2]) : undefined;
  const queries = queriesOf(call);
  const ends = { pieces: pieces > 1, lse: !parts && lse !== undefined };
  const each = lengths !== undefined;
  const of: Forward = { call, tile, m, queries, keys, values, ...ends, each, chooses: choosing?.chooses };
  const { start, chosen, sinks } = masksOf(call);
  const rows = [...queries, ...keys, ...values.filter((value) => !keys.includes(value))];
  const room = device.traits.bindings - (of.lse ? 2 : 1) - (lengths ? 1 : 0) - (choosing ? 3 : 0);
  const masks = { start, chosen: choosing ? undefined : chosen, sinks: parts ? undefined : sinks };
  const reading = read(device, rows, masks, room);
  const marks = choosing && { marks: choosing.by.scores, ...choosing.by.operands };
  const { subgroup } = device.traits;
  // Workgroups of subgroups of any size have at least so many of them as of the largest.
  const together = alone ? Math.max(1, Math.floor(THREADS / subgroup!.most)) : 1;
  device.launch(
    alone
      ? fewShader(of, reading, subgroup!.least)
      : split
        ? matrixShader(of, reading, split, device.traits)
        : forwardShader(of, reading),
    {},
    { ...reading.operands, lengths, out: parts ?? out, ...(of.lse ? { lse } : {}), ...marks },
    { ...reading.given, ...numbersOf(call), tiles, pieces, per, all },
    groupsFor(Math.ceil(all / together)),
  );
  choosing?.by.scores.free();
  reading.free();
  if (!parts) return;
  const merged = call.batch * call.t * call.h;
  const numbers = { rows: merged, pieces, width: wide };
  if (call.stick) {
    const constants = { REMAINDER: call.stick.remainder, LSE: lse !== undefined };
    device.launch(sticks, constants, { parts, out, lse }, numbers, groupsFor(merged));
  } else {
    const constants = { SINKS: sinks !== undefined, LSE: lse !== undefined };
    const whole = { ...numbers, h: call.h };
    const operands = { parts: placed(parts), sinks: sinks && placed(sinks), out: placed(out) };
    const merge = () => device.launch(mergePieces, constants, { ...operands, lse }, whole, groupsFor(merged));
    // What comes next mostly multiplies each head's row by a matrix, which then is one launch with this.
    if (lse) merge();
    else device.withhold(new Apart(device, operands, whole), merge);
  }
  parts.free();
}

export const attendEachWebgpu: AttendEachKernel = (calls, outs) => {
  const one = togetherOf(calls, outs);
  if (one) run(one.call, one.out, undefined, one.lengths);
  else calls.forEach((call, i) => void attendWebgpu(call, outs[i]!, undefined));
};

/**
 * Calls of several sequences as one, where each has as many queries, one after the other, and its keys lie on pages of one buffer: the
 * tables of these stand one after the other, filled up to the longest.
 */
function togetherOf(calls: readonly AttendCall[], outs: readonly Tensor[]) {
  const [first] = calls;
  if (!first || calls.length === 1) return undefined;
  const keysOf = ({ terms, values }: AttendCall) => [...terms.map(({ k }) => k), ...values.map(({ v }) => v)];
  const list = calls.map(keysOf);
  const [home] = list[0]!;
  if (!home?.paging || calls.some(({ t, start, chosen }) => t !== first.t || start || chosen)) return undefined;
  const arena = arenaOf(home.paging.pages);
  // Of one sequence all keys lie on the same pages.
  const alike = list.every((keys) => keys.every(({ paging }) => paging?.pages === keys[0]!.paging!.pages));
  if (!alike || list.some(([key]) => arenaOf(key!.paging!.pages) !== arena)) return undefined;
  const queries = first.terms.map((_, i) => side(calls.map(({ terms }) => terms[i]!.q)));
  const out = side(outs);
  if (!out || queries.some((q) => !q)) return undefined;
  const lengths = Int32Array.from(calls, ({ s }) => s);
  const most = Math.ceil(Math.max(...lengths) / PAGE);
  const pages = list.flatMap(([key]) => {
    const own = key!.paging!.pages;
    return Array.from({ length: most }, (_, i) => own[i] ?? own[0]!);
  });
  const known = new Map<Tensor, Tensor>();
  const joined = (x: Tensor): Tensor => {
    const found = known.get(x);
    if (found) return found;
    const shape = [calls.length * most * PAGE, ...x.shape.slice(1)];
    const made = new Tensor(x.device, shape, undefined, 0, { ...x.paging!, pages });
    known.set(x, made);
    return made;
  };
  const call: AttendCall = {
    ...first,
    batch: calls.length,
    s: most * PAGE,
    terms: first.terms.map((term, i) => ({ ...term, q: queries[i]!, k: joined(term.k) })),
    values: first.values.map((value) => ({ ...value, v: joined(value.v) })),
  };
  return { call, out, lengths };
}

/** Views of one tensor that lie one after the other as one view of all of them. */
function side(list: readonly Tensor[]): Tensor | undefined {
  const [first] = list;
  const { block, start, origin, shape } = first!;
  if (list.some((x, i) => x.block !== block || x.start !== start + i * first!.size)) return undefined;
  return new Tensor(first!.device, [list.length * shape[0]!, ...shape.slice(1)], origin, start);
}
