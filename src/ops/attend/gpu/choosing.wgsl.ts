import type { WebgpuDevice } from "../../../device/webgpu.ts";
import { Choosing, chooseBytes, chooseCode } from "../../select/choose.wgsl.ts";
import type { AttendCall } from "../index.ts";
import { THREADS } from "./tile.wgsl.ts";

// Attention that chooses its keys: each workgroup for itself, by scores that a launch before has made, and keeps those of its piece.

/** How a workgroup chooses: keys of its piece at most, and whether the choice is of keys before each query. */
export interface Chooses {
  readonly per: number;
  readonly causal: boolean;
}

/** Rows of queries that are few, and scores that all workgroups go through at most: beyond either one workgroup a row chooses for all. */
const [FEW, SCORES] = [8, 1 << 22];

/** The choice that is about to be made of this call's keys, if its workgroups may make it. */
export function choosingOf(device: WebgpuDevice, { batch, t, s, chosen }: AttendCall): Choosing | undefined {
  const { withheld } = device;
  if (!chosen || !(withheld instanceof Choosing) || !withheld.gives(chosen)) return undefined;
  const { call } = withheld;
  // A processor does one after the other what a GPU does at once.
  const few = batch * t <= FEW && !device.traits.software;
  return few && call.batch === batch && call.t === t && call.s === s ? withheld : undefined;
}

/** Whether so many workgroups may choose from s scores each. */
export const mayChoose = (workgroups: number, s: number) => workgroups * s <= SCORES;

/** Bytes of a workgroup's memory that the choice of `per` keys takes. */
export const choosingBytes = (per: number) => 4 * per + chooseBytes(THREADS);

/** Buffers of a launch that chooses. */
export const chosenFrom = { marks: "u32" } as const;
export const chosenTo = { chosen: "f32", missing: "f32" } as const;

/** WGSL of the n-th key that is chosen, as a workgroup keeps those of its piece. */
export const pickedAt = (n: string, { per }: Chooses) => `picked[min(u32(${n} - picked_from), ${per - 1}u)]`;

/**
 * WGSL `pick(row, begin, counts, tells, thread)`: the keys that this row's query chooses, `listed` in all, of which the workgroup keeps those
 * from `begin` on. One workgroup of each piece `tells` others, who may look at them later, and the one of the first piece how many are missing.
 */
export const choosingCode = ({ per, causal }: Chooses, listed: number) => /* wgsl */ `
var<workgroup> picked: array<i32, ${per}>;
var<private> picked_from: i32 = 0;
var<private> picks_for_all: bool = false;
fn put(row: u32, place: u32, key: i32) {
  let n = i32(place) - picked_from;
  if (n < 0 || n >= ${per}) { return; }
  picked[n] = key;
  if (picks_for_all) { chosen[p.chosen_at + row * ${listed} + place] = f32(key); }
}
${chooseCode(THREADS, causal, "marks")}
fn pick(row: u32, begin: i32, first: bool, tells: bool, thread: u32) {
  picked_from = begin;
  picks_for_all = tells;
  if (tells && first && thread == 0) { missing[p.missing_at + row] = f32(${listed} - min(visible_keys(row), ${listed})); }
  choose(row, p.marks_at + row * p.s, ${listed}, thread);
  workgroupBarrier();
}`;
