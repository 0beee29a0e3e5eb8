import { forward, type Group } from "../model/transformer.ts";
import { DeviceError } from "../tensor/error.ts";
import { numberBytes } from "../tensor/page.ts";
import { type Device, scope, type Tensor } from "../tensor/tensor.ts";
import { formsFor } from "./forms.ts";
import type { Sequence } from "./sequence.ts";

/** New tokens of one sequence, and of which of them logits are wanted. */
export interface Advance {
  readonly sequence: Sequence;
  readonly ids: Int32Array;
  readonly logits: "all" | "last" | "none";
}

/** How a step runs. */
export interface StepOptions {
  /** Form of attention, in layers that have it; unless given each layer runs in what should be fastest. */
  readonly form?: string | undefined;
  /**
   * Products with packed weights take activations as they are. Unless given, those of few rows round them to 8 bits, which is faster,
   * and results then depend by that rounding on how many rows run together.
   */
  readonly exact?: boolean | undefined;
  /** Sees each hidden state. */
  readonly watch?: ((hidden: Tensor) => void) | undefined;
}

/**
 * One step of one sequence or of several of one model: the rows of all go through each weight together, and attention goes over each
 * one's cache. Those that bring one token run in one form per layer, any other in its own. Writes down what ran; pages are reserved.
 * @returns logits of the rows that are wanted, in the order of `parts`.
 */
export function advance(parts: readonly Advance[], { form, exact, watch }: StepOptions): Tensor {
  const { model, weights, devices } = parts[0]!.sequence.ground;
  const groups = groupsOf(parts);
  const [ids, positions, ends] = layOut(groups.flat());
  const forms = groups.map((group) => formsOf(group, form));
  for (const { sequence } of parts) sequence.broken = sequence.hasState;
  const run = () =>
    forward(model, weights, ids, {
      positions,
      groups: groups.map(
        (group, g): Group => ({
          forms: forms[g]!,
          rows: group.map(({ ids }) => ids.length),
          caches: group.map(({ sequence }) => sequence.caches),
        }),
      ),
      rows: parts.flatMap(({ ids, logits, sequence }) => {
        const end = ends.get(sequence)!;
        const wanted = { all: ids.length, last: 1, none: 0 }[logits];
        return wanted || parts.length === 1 ? [[end - wanted, end] as const] : [];
      }),
      watch,
    });
  const output = scope(devices, () => (exact ? runExactly(devices, run) : run()));
  groups.forEach((group, g) => {
    for (const { sequence, ids } of group) sequence.note(ids, forms[g]!, { form, exact });
  });
  return output;
}

/** Runs `body` with activations as they are, whatever rounds them where speed is asked for. */
export function runExactly<T>(devices: readonly Device[], body: () => T): T {
  for (const device of devices) device.exact = true;
  try {
    return body();
  } finally {
    for (const device of devices) device.exact = false;
  }
}

/** Those that bring one token, and each of the others by itself. */
function groupsOf(parts: readonly Advance[]): readonly (readonly Advance[])[] {
  const single = parts.filter(({ ids }) => ids.length === 1);
  const others = parts.filter(({ ids }) => ids.length !== 1).map((part) => [part]);
  return single.length ? [single, ...others] : others;
}

/** Tokens of all, where each of them stands in its sequence, and the row after each sequence's last. */
function layOut(parts: readonly Advance[]): [Int32Array, Int32Array, Map<Sequence, number>] {
  const count = parts.reduce((sum, { ids }) => sum + ids.length, 0);
  const [all, positions, ends] = [new Int32Array(count), new Int32Array(count), new Map<Sequence, number>()];
  let row = 0;
  for (const { sequence, ids } of parts) {
    all.set(ids, row);
    for (let i = 0; i < ids.length; i++) positions[row + i] = sequence.length + i;
    row += ids.length;
    ends.set(sequence, row);
  }
  return [all, positions, ends];
}

function formsOf(group: readonly Advance[], form: string | undefined): string[] {
  const { model, cache, machine } = group[0]!.sequence.ground;
  const steps = group.map(({ sequence, ids }) => ({
    t: ids.length,
    s: sequence.length + ids.length,
    cacheBytes: numberBytes[cache],
  }));
  return formsFor(model, form, steps, machine);
}

/**
 * A sequence back to `length` tokens. Over states it goes back to the last snapshot before and runs what follows it again, in the same
 * pieces as at first. Throws DeviceError where memory is full: the sequence is then shorter.
 */
export function goBack(sequence: Sequence, length: number): void {
  const { history, steps, hasState } = sequence;
  const from = hasState ? sequence.snapshots.at(length) : undefined;
  const start = hasState ? (from?.length ?? 0) : length;
  const again = history.ids.slice(start, length);
  const strides = steps.between(start, length);
  sequence.cut(start, from);
  makeRoom([sequence], () => sequence.reserve(length));
  for (const { start: first, end, ...manner } of hasState ? strides : [])
    advance([{ sequence, ids: again.subarray(first - start, end - start), logits: "last" }], manner).free();
}

/** Runs `take`, which takes memory; where there is none, once more without these sequences' snapshots. Throws as `take`. */
export function makeRoom(sequences: readonly Sequence[], take: () => void): void {
  try {
    take();
  } catch (error) {
    if (!(error instanceof DeviceError && sequences.map(({ snapshots }) => snapshots.clear()).includes(true)))
      throw error;
    take();
  }
}

/** Back to `start` tokens after a step that failed. */
export function undo(sequence: Sequence, start: number): void {
  if (!sequence.hasState || (!sequence.broken && sequence.length === start)) {
    for (const cache of sequence.caches) cache.rewind(start);
    sequence.history.cut(start);
    return;
  }
  try {
    goBack(sequence, start);
  } catch (error) {
    sequence.broken = true;
    // What failed first is what is told.
    if (!(error instanceof DeviceError)) throw error;
  }
}
