/** What a step has to do, whatever the machine: counted once, and priced on as many machines as are asked for. */
import {
  type Cost,
  type Costing,
  cacheOf,
  countValues,
  pairsOf,
  paramsOf,
  present,
  type Sizes,
  stateValues,
} from "../attention/define.ts";

/** What a kernel has to do: bytes of operands to read, FLOPs, and rows of single key heads to begin. */
export interface Work {
  readonly bytes: number;
  readonly flops: number;
  readonly rows?: number | undefined;
}

/** New tokens of a sequence, all its tokens with them, sequences (1), and bytes of a cached number, a weight and a computed number (4 each unless given). */
export interface StepSizes {
  readonly t: number;
  readonly s: number;
  readonly batch?: number;
  readonly cacheBytes?: number;
  readonly weightBytes?: number;
  readonly activationBytes?: number;
}

/** One attention layer's work in one step, all sequences together. */
export interface AttentionWork {
  /** Projections of so many tokens. */
  readonly tokens: number;
  readonly project: Work;
  /** Making keys and values of what is cached. */
  readonly unfold: Work | undefined;
  /** Query rows per key, heads that share a key counted as rows, and heads or groups that have keys of their own. */
  readonly rows: number;
  readonly heads: number;
  readonly attend: Work;
  /** Cached numbers narrower than 32 bits that become float32. */
  readonly narrow: number;
  /** Ops that are started. */
  readonly ops: number;
}

/** What a form's work follows from, whatever the step: counted once, since a crossover asks a hundred times. */
interface Counts extends Cost {
  readonly over: boolean;
  /** Numbers of a token's cache, of what the form reads of a token, of the weights and of the state. */
  readonly cache: number;
  readonly read: number;
  readonly weights: number;
  readonly state: number;
  /** Heads or groups with keys of their own. */
  readonly heads: number;
  /** One per parameter, two per part that is read, and a few around attention. */
  readonly ops: number;
}

const known = new WeakMap<Costing, Readonly<Record<string, Counts>>>();

function countsOf(attention: Costing, form: string): Counts {
  const before = known.get(attention);
  const found = before?.[form];
  if (found) return found;
  const { variant, sizes } = attention;
  const { cost, over } = variant.forms[form]!;
  const [cache, params] = [cacheOf(variant, sizes), paramsOf(variant, sizes)];
  /** What is cached, or what that unfolds to. */
  const read = over ? present(variant.unfolded?.(sizes) ?? {}) : cache;
  const counts: Counts = {
    ...cost(sizes),
    over: over !== undefined,
    cache: countValues(cache, sizes),
    read: countValues(read, sizes),
    weights: countValues(params, sizes),
    state: stateValues(variant, sizes),
    heads: keyHeads(read, sizes),
    ops: params.length + 2 * read.length + 4,
  };
  known.set(attention, { ...before, [form]: counts });
  return counts;
}

/** About how many ops a layer starts in a form. */
export function opsOf(attention: Costing, form: string): number {
  return countsOf(attention, form).ops;
}

/** One attention layer's work in a form, from its declared cost and what it reads. */
export function attentionWork(attention: Costing, form: string, step: StepSizes): AttentionWork {
  const { variant, sizes, window = Number.POSITIVE_INFINITY } = attention;
  const { t, s, batch = 1, cacheBytes = 4, weightBytes = 4, activationBytes = 4 } = step;
  const counts = countsOf(attention, form);
  const { over, token, cached, pair, selected = 0, heads, ops } = counts;
  const tokens = batch * t;
  const seen = Math.min(s, window + t - 1);
  const all = over || !variant.reads ? counts.read * seen : variant.reads(sizes, s);
  const flops = pair * pairsOf(t, s, window) + selected * t * Math.min(sizes.m ?? 0, s);
  return {
    tokens,
    project: { bytes: counts.weights * weightBytes, flops: token * tokens },
    unfold: cached ? { bytes: batch * s * counts.cache * cacheBytes, flops: batch * cached * s } : undefined,
    rows: (t * sizes.h) / heads,
    heads,
    attend: {
      bytes: batch * (all * (over ? activationBytes : cacheBytes) + 8 * counts.state),
      flops: batch * flops,
      rows: batch * heads * seen,
    },
    narrow: !over && cacheBytes < 4 ? batch * all : 0,
    ops,
  };
}

/** The work of several sequences' steps of equal length that run together: every weight is read once. */
export function attentionWorks(attention: Costing, form: string, steps: readonly StepSizes[]): AttentionWork {
  const all = steps.map((step) => attentionWork(attention, form, step));
  const sum = (of: (work: AttentionWork) => number) => all.reduce((total, work) => total + of(work), 0);
  const first = all[0]!;
  return {
    ...first,
    tokens: sum(({ tokens }) => tokens),
    project: { ...first.project, flops: sum(({ project }) => project.flops) },
    unfold: first.unfold && {
      bytes: sum(({ unfold }) => unfold!.bytes),
      flops: sum(({ unfold }) => unfold!.flops),
    },
    attend: {
      bytes: sum(({ attend }) => attend.bytes),
      flops: sum(({ attend }) => attend.flops),
      rows: sum(({ attend }) => attend.rows ?? 0),
    },
    narrow: sum(({ narrow }) => narrow),
  };
}

/** Heads or groups that have keys of their own: 1 where no part has an axis of heads or groups. */
function keyHeads(read: readonly (readonly [name: string, axes: string])[], { h, g }: Sizes): number {
  const heads = read.map(([, axes]) => (axes.startsWith("h") ? h : axes.startsWith("g") ? g || 1 : 1));
  return Math.min(h, Math.max(1, ...heads));
}
