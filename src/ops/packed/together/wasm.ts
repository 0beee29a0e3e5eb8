import type { WasmDevice } from "../../../device/wasm.ts";
import * as slot from "../slot.ts";
import { argumentsOf, type Contracted, type Direct, formFor } from "../wasm.ts";

/** Contractions of a launch at most: their arguments have room for more. */
const MOST = 8;
/** The kernel of several contractions. packedTiles does one: several rows of activations spend hardly anything on rounding (LOG.md). */
const KERNEL = "packedDots";
/** What tells activations, and how they are rounded, from others. */
const own = [slot.X, slot.FORMAT, slot.COLUMNS, slot.ROWS, slot.X_ROW, slot.X_GROUP, slot.X_ELEMENT] as const;

/** Arguments of several contractions, made here for each launch. */
const joined: number[] = [];

/**
 * Does contractions that do not read what another one of them writes, `alone` those that share no launch. Neighbours that packedDots
 * does are one launch, in which each thread rounds activations that they share once.
 */
export function contractTogether(list: readonly Contracted[], alone: (one: Contracted) => void): void {
  for (let from = 0, to: number; from < list.length; from = to) {
    to = from;
    const { device } = list[from]!.out;
    while (to < list.length && to - from < MOST && list[to]!.out.device === device && joins(list[to]!)) to++;
    if (to > from + 1) launch(list, from, to);
    else {
      alone(list[from]!);
      to = from + 1;
    }
  }
}

function joins(one: Contracted): boolean {
  if (!one.b.packing || one.out.size === 0) return false;
  const form = formFor(one);
  return "kernel" in form && form.kernel === KERNEL;
}

function launch(list: readonly Contracted[], from: number, to: number): void {
  let threads: number | undefined = 1;
  joined.length = (to - from) * slot.EACH;
  for (let i = from, at = 0; i < to; i++, at += slot.EACH) {
    const form = formFor(list[i]!) as Direct;
    const args = argumentsOf(form, list[i]!);
    if (form.threads === undefined) threads = undefined;
    for (let k = 0; k < slot.EACH; k++) joined[at + k] = args[k]!;
    let same = 0;
    while (same < at && own.some((k) => joined[same + k] !== args[k])) same += slot.EACH;
    joined[at + slot.SAME] = same;
  }
  joined[slot.COUNT] = to - from;
  (list[from]!.out.device as WasmDevice).launch(KERNEL, joined, threads);
}
