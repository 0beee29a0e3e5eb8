import { addressOf } from "../../device/address.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { contractTogether } from "../packed/together/wasm.ts";
import { contractPacked } from "../packed/wasm.ts";
import type { Contracted, ContractKernel } from "./index.ts";
import type { Axis, Plan } from "./plan.ts";
import { FEW, WHOLE_COLUMNS, WHOLE_ROWS, WIDEST } from "./size.ts";
import * as slot from "./slot.ts";
import { stripOf } from "./strip.ts";

/** A plan as launches: the kernel does one axis each of m, n and k and two batch axes; further ones become loops here. */
interface Form {
  readonly kernel: "contract" | "stream" | readonly ["streamRuns", "streamMerge"];
  /** Arguments with the addresses still missing. */
  readonly args: number[];
  readonly outer: readonly Axis[];
  /** Whether the operands change places: C^T = B^T A^T. */
  readonly swapped: boolean;
  readonly threads: number | undefined;
}

const NONE: Axis = { size: 1, a: 0, b: 0, c: 0 };
/** Multiplications below which one thread is faster than two. */
const SMALL = 1 << 15;
/** Floats of B in a piece of a stream, some 10 us of reading, and columns of it where rows of B are read in part. */
const STREAMED = 1 << 16;
const WIDE = 1024;
/** Of rows of B up to so many columns runs are pieces, whose sums are added up afterwards; and the most runs there are. */
const SUMMED = 4096;
const MOST_RUNS = 16;
const RUNS = ["streamRuns", "streamMerge"] as const;

const forms = new WeakMap<Plan, Form>();

export const contractWasm: ContractKernel = (plan, a, b, out, mode) => {
  const device = out.device as WasmDevice;
  if (out.size === 0) return;
  if (plan.k.some(({ size }) => size === 0)) {
    if (mode === "set") device.floats.fill(0, addressOf(out) / 4, addressOf(out) / 4 + out.size);
    return;
  }
  if (b.packing) contractPacked({ plan, a, b, out, mode }, launchPlan);
  else launchPlan(device, plan, { a: addressOf(a), b: addressOf(b), c: addressOf(out) }, mode);
};

/** Several that do not read what another one writes, in fewer launches where weights are packed. */
export const contractAllWasm = (list: readonly Contracted[]): void =>
  contractTogether(list, ({ plan, a, b, out, mode }) => contractWasm(plan, a, b, out, mode));

/** Runs a plan over operands at these addresses. */
export function launchPlan(
  device: WasmDevice,
  plan: Plan,
  { a, b, c }: Readonly<Record<"a" | "b" | "c", number>>,
  mode: "set" | "add",
): void {
  const form = knownForm(plan);
  const { args, outer, swapped } = form;
  const [x, y] = swapped ? [b, a] : [a, b];
  if (outer.length === 0) {
    args[slot.C] = c;
    args[slot.A] = x;
    args[slot.B] = y;
    args[slot.ADD] = mode === "add" ? 1 : 0;
    device.launch(form.kernel, args, form.threads);
    return;
  }
  for (const at of positions(outer)) {
    args[slot.C] = c + 4 * at.c;
    args[slot.A] = x + 4 * at.a;
    args[slot.B] = y + 4 * at.b;
    args[slot.ADD] = mode === "add" || at.later ? 1 : 0;
    device.launch(form.kernel, args, form.threads);
  }
}

function knownForm(plan: Plan): Form {
  const known = forms.get(plan);
  if (known) return known;
  const form = formOf(plan);
  forms.set(plan, form);
  return form;
}

function formOf(plan: Plan): Form {
  let [m, n] = [main(plan.m, "c"), main(plan.n, "c")];
  const k = main(plan.k, "a");
  // The kernel wants few rows rather than few columns, and C's columns side by side.
  const [few, side] = [m.size <= FEW || n.size <= FEW, (x: Axis) => x.c === 1 || x.size === 1];
  const swapped = few ? n.size < m.size : !side(n) && side(m);
  const turn = (x: Axis): Axis => (swapped ? { ...x, a: x.b, b: x.a } : x);
  const rest = [...plan.batch, ...without(plan.m, m), ...without(plan.n, n)].map(turn);
  const kRest = without(plan.k, k).map(turn);
  [m, n] = swapped ? [turn(n), turn(m)] : [m, n];
  const kk = turn(k);
  const batch = rest.toSorted((x, y) => y.size - x.size).slice(0, 2);
  const outer = [...kRest, ...rest.filter((x) => !batch.includes(x))];
  const [first = NONE, second = NONE] = batch;
  const args: number[] = [];
  args[slot.C] = 0;
  args[slot.A] = 0;
  args[slot.B] = 0;
  args[slot.M] = m.size;
  args[slot.N] = n.size;
  args[slot.K] = kk.size;
  args[slot.AM] = m.a;
  args[slot.AK] = kk.a;
  args[slot.BK] = kk.b;
  args[slot.BN] = n.b;
  args[slot.CM] = m.c;
  args[slot.CN] = n.c;
  args[slot.OUTER] = first.size;
  args[slot.OUTER_A] = first.a;
  args[slot.OUTER_B] = first.b;
  args[slot.OUTER_C] = first.c;
  args[slot.INNER] = second.size;
  args[slot.INNER_A] = second.a;
  args[slot.INNER_B] = second.b;
  args[slot.INNER_C] = second.c;
  args[slot.ADD] = 0;
  const many = first.size * second.size;
  const work = m.size * n.size * kk.size * many;
  const kernel = m.size <= FEW && (n.b === 1 || kk.b === 1) ? "stream" : "contract";
  const runs = countPieces(Math.min(MOST_RUNS, (n.size * kk.size) / STREAMED));
  const run = 8 * Math.ceil(kk.size / runs / 8);
  // A thread keeps a run of A's rows.
  const kept = m.size * run <= FEW * WIDEST;
  if (kernel === "stream" && many === 1 && kk.b === n.size && n.b === 1 && n.size <= SUMMED && runs > 1 && kept) {
    args[slot.RUN] = run;
    return { kernel: RUNS, args, outer, swapped, threads: undefined };
  }
  // The longer side is cut: what every thread packs for itself is the smaller operand.
  const byColumns = kernel === "contract" && n.size >= m.size;
  if (kernel === "stream") {
    const least = Math.max(kk.b === 1 ? WHOLE_COLUMNS : WIDE, STREAMED / kk.size);
    const columns = n.size / countPieces(n.size / least);
    args[slot.STRIP] = Math.min(WIDEST, Math.ceil(columns / WHOLE_COLUMNS) * WHOLE_COLUMNS);
  } else args[slot.STRIP] = byColumns ? stripOf(m.size, kk.size, WHOLE_ROWS) : stripOf(n.size, kk.size, WHOLE_COLUMNS);
  args[slot.BY_COLUMNS] = byColumns ? 1 : 0;
  return { kernel, args, outer, swapped, threads: work < SMALL ? 1 : undefined };
}

/**
 * Pieces of `stream` where `most` are as long as they should be: an even number, since pieces are few and the fewest threads that
 * share them two, and two of half that length rather than one.
 */
function countPieces(most: number): number {
  return most < 1 ? 1 : Math.max(2, 2 * Math.floor(most / 2));
}

/** The axis for the kernel's own loop: the one with stride 1 in `operand`, else the longest. */
function main(axes: readonly Axis[], operand: "a" | "c"): Axis {
  return axes.find((axis) => axis[operand] === 1) ?? axes.toSorted((x, y) => y.size - x.size)[0] ?? NONE;
}

function without(axes: readonly Axis[], axis: Axis): Axis[] {
  return axes.filter((other) => other !== axis);
}

/** Offsets in elements of nested loops; `later` where an earlier step of a summed axis has filled C already. */
function positions(axes: readonly Axis[]): { a: number; b: number; c: number; later: boolean }[] {
  let all = [{ a: 0, b: 0, c: 0, later: false }];
  for (const axis of axes) {
    const summed = axis.c === 0;
    all = all.flatMap(({ a, b, c, later }) =>
      Array.from({ length: axis.size }, (_, i) => ({
        a: a + i * axis.a,
        b: b + i * axis.b,
        c: c + i * axis.c,
        later: later || (summed && i > 0),
      })),
    );
  }
  return all;
}
