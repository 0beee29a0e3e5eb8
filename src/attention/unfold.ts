import type { View } from "../ops/attend/index.ts";
import { merge, type Portion } from "../ops/merge/index.ts";
import { copy } from "../ops/move/index.ts";
import { recorderOf } from "../ops/op.ts";
import { contiguous } from "../ops/pages/index.ts";
import { eachSequence, type Own } from "../ops/sequence.ts";
import { type Device, scope, Tensor } from "../tensor/tensor.ts";
import { type At, type Cost, cacheOf, type Parts, present, type Sizes, shapeOf, type Variant } from "./define.ts";

/** Cached tokens that are unfolded at a time: enough that their contraction runs at full speed, whatever the context. */
export const PIECE = 1024;

/** Of those that are kept, how many are unfolded at a time: what is not yet where it is kept is held twice. */
const FEW = 64;

/** What a form runs on: parameters, queries and all cached parts, and how. */
export interface Running {
  readonly p: Parts;
  readonly parts: Parts;
  readonly view: View;
  readonly z: Sizes;
  readonly at: At;
  readonly state: Parts | undefined;
  /** Cached tokens unfolded at a time; PIECE unless given. */
  readonly piece?: number | undefined;
  /** What was unfolded before, where it is kept from one call to the next: then all of it is read at once. */
  readonly unfolded?: Unfolded | undefined;
}

/** What a layer's cache unfolds to, for new tokens that come some at a time: each token's is made once and kept. */
export class Unfolded {
  readonly #device: Device;
  readonly #variant: Variant;
  readonly #sizes: Sizes;
  readonly #parts: Parts;
  #length = 0;

  /** Room for `tokens` tokens, which belongs to the scope that is open. Throws DeviceError where there is none. */
  constructor(device: Device, { variant, sizes }: { variant: Variant; sizes: Sizes }, tokens: number) {
    this.#device = device;
    this.#variant = variant;
    this.#sizes = sizes;
    const axes = present(variant.unfolded?.(sizes) ?? {});
    this.#parts = Object.fromEntries(
      axes.map(([name, own]) => [name, new Tensor(device, [tokens, ...shapeOf(own, sizes)])]),
    );
  }

  /** What the first `end` tokens unfold to, of which `cached` gives rows as they are cached. */
  extend(p: Parts, cached: (from: number, to: number) => Parts, end: number): Parts {
    const from = this.#length;
    for (let at = from; at < end; at += FEW) {
      const to = Math.min(at + FEW, end);
      scope(this.#device, () => {
        for (const [name, rows] of Object.entries(this.#variant.unfold!(p, cached(at, to), this.#sizes)))
          copy(rows as Tensor, this.#parts[name]!.rows(at, to));
      });
    }
    this.#length = Math.max(from, end);
    return Object.fromEntries(Object.entries(this.#parts).map(([name, all]) => [name, all.rows(0, end)]));
  }
}

/**
 * Each head's output in one form. A form over unfolded keys and values goes through a long cache in pieces, of which one at a time is
 * unfolded: every new token sees all of the earlier pieces, so these need no mask, and `merge` puts the results together. In one
 * piece instead: what a tape records, several sequences, a window (each query's begins elsewhere) and stick-breaking (what is left
 * for a piece depends on all newer ones).
 */
export function runForm(variant: Variant, form: Variant["forms"][string], running: Running): Tensor {
  const { p, parts, view, z, at, state, piece = PIECE, unfolded } = running;
  const perToken = form.over !== undefined || form.cost(z).cached > 0;
  if (typeof at.batch === "object" && perToken) return runEach(variant, form, running, at.batch);
  if (!form.over) return form.run(p, parts, view, z, at, state);
  const cached = cacheOf(variant, z).map(([name]) => [name, parts[name]!] as const);
  const rowsOf = (from: number, to: number): Parts =>
    Object.fromEntries(cached.map(([name, all]) => [name, contiguous(all, from, to)]));
  const [s, t] = [cached[0]![1].shape[0]!, at.positions.length];
  if (unfolded) return form.run(p, { ...parts, ...unfolded.extend(p, rowsOf, s) }, view, z, at, state);
  const over = (from: number, to: number, seen: View) => {
    const rows = rowsOf(from, to);
    return form.run(p, { ...parts, ...rows, ...variant.unfold?.(p, rows, z) }, seen, z, at, state);
  };
  /** Where the newest piece begins: with less than a whole one before the new tokens. */
  const newest = Math.floor((s - t) / piece) * piece;
  const { device } = cached[0]![1];
  if (recorderOf([...Object.values(p), ...Object.values(parts)])) return over(0, s, view);
  if (newest <= 0 || at.batch !== 1 || view.window || variant.merges === false)
    return scope(device, () => over(0, s, view));
  let sum: Portion | undefined;
  for (let from = 0; from <= newest; from += piece) {
    const before = sum;
    sum = scope(device, () => {
      const lse = new Tensor(device, [t, z.h]);
      const out =
        from < newest ? over(from, from + piece, { ...view, lse, causal: false }) : over(from, s, { ...view, lse });
      return before ? merge([before, { out, lse }]) : { out, lse };
    });
    before?.out.free();
    before?.lse.free();
  }
  sum!.lse.free();
  return sum!.out;
}

/** Sequences one after the other, in a form that makes something of all that is cached: as much at a time as one of them needs. */
function runEach(variant: Variant, form: Variant["forms"][string], running: Running, rows: readonly number[]): Tensor {
  const { parts, view, at, state } = running;
  const ownParts = (of: Parts, own: Own) => Object.fromEntries(Object.entries(of).map(([name, t]) => [name, own(t)]));
  return eachSequence(rows, (own, i, from) =>
    scope(own(Object.values(parts)[0]!).device, () =>
      runForm(variant, form, {
        ...running,
        parts: ownParts(parts, own),
        view: { ...view, batch: 1 },
        at: { ...at, positions: at.positions.subarray(from, from + rows[i]!), batch: 1 },
        state: state && ownParts(state, own),
      }),
    ),
  );
}

/** The cost of a form whose keys and values are made of each new token once and kept. */
export function onceUnfolded({ cached, token, ...others }: Cost): Cost {
  return { ...others, token: token + cached, cached: 0 };
}

/**
 * The same attention with what it unfolds to as its cache: nothing is unfolded twice, and more is kept and read. The same
 * parameters, and of its forms those that read unfolded parts; undefined where a variant has none.
 */
export function expandedCache(variant: Variant): Variant | undefined {
  const { unfolded, unfold, ...rest } = variant;
  const forms = Object.entries(variant.forms).filter(([, { over }]) => over);
  if (!unfolded || !unfold || !forms.length) return undefined;
  return {
    ...rest,
    name: `${variant.name} (expanded cache)`,
    cache: unfolded,
    project(p, x, at, z, state) {
      const own = variant.project(p, x, at, z, state) as Parts;
      const queries = present(variant.query(z)).flatMap(([name]) => (own[name] ? [[name, own[name]] as const] : []));
      return { ...Object.fromEntries(queries), ...unfold(p, own, z) };
    },
    forms: Object.fromEntries(
      forms.map(([name, { over, cost, ...form }]) => [
        name,
        {
          ...form,
          cost: (z: Sizes) => onceUnfolded(cost(z)),
        },
      ]),
    ),
  };
}
