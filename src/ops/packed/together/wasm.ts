import type { WasmDevice } from "../../../device/wasm.ts";
import type { Contracted } from "../../einsum/index.ts";
import * as slot from "../slot.ts";
import { argumentsOf, type Direct, formFor } from "../wasm.ts";

/** Contractions of a launch at most: their arguments have room for more. */
const MOST = 8;
/** The kernel of several contractions. packedTiles does one: several rows of activations spend hardly anything on rounding (LOG.md). */
const KERNEL = "packedDots";
/** What tells activations, and how they are rounded, from others. */
const own = [slot.X, slot.FORMAT, slot.COLUMNS, slot.ROWS, slot.X_ROW, slot.X_GROUP, slot.X_ELEMENT] as const;

/** Forms of the contractions of a launch, and their arguments, made here for each. */
const forms: Direct[] = [];
const joined: number[] = [];

/**
 * Does contractions that do not read what another one of them writes, `alone` those that share no launch. Neighbours that packedDots
 * does are one launch, in which each thread rounds activations that they share once.
 */
export function contractTogether(list: readonly Contracted[], alone: (one: Contracted) => void): void {
  for (let from = 0; from < list.length; from += Math.max(1, forms.length)) {
    forms.length = 0;
    const { device } = list[from]!.out;
    for (let i = from; i < list.length && forms.length < MOST && list[i]!.out.device === device; i++) {
      const form = joining(list[i]!);
      if (!form) break;
      forms.push(form);
    }
    if (forms.length > 1) launch(list, from);
    else alone(list[from]!);
  }
}

/** How a contraction runs that may share a launch. */
function joining(one: Contracted): Direct | undefined {
  if (!one.b.packing || one.out.size === 0) return undefined;
  const form = formFor(one);
  return "kernel" in form && form.kernel === KERNEL ? form : undefined;
}

/** Does the contractions from `from` on whose forms are known. */
function launch(list: readonly Contracted[], from: number): void {
  let threads: number | undefined = 1;
  joined.length = forms.length * slot.EACH;
  for (let i = 0, at = 0; i < forms.length; i++, at += slot.EACH) {
    const form = forms[i]!;
    const args = argumentsOf(form, list[from + i]!);
    if (form.threads === undefined) threads = undefined;
    for (let k = 0; k < slot.EACH; k++) joined[at + k] = args[k]!;
    let same = 0;
    while (same < at && own.some((k) => joined[same + k] !== args[k])) same += slot.EACH;
    joined[at + slot.SAME] = same;
  }
  joined[slot.COUNT] = forms.length;
  (list[from]!.out.device as WasmDevice).launch(KERNEL, joined, threads);
}
