import { type Costing, formNames } from "../attention/define.ts";
import { FEW, FUSED_ROWS, PLAIN_COLUMNS } from "../ops/einsum/size.ts";
import { type AttentionWork, attentionWork, attentionWorks, type StepSizes, type Work } from "./work.ts";

export type { StepSizes, Work } from "./work.ts";

/** What a kernel reads, computes and begins per second; its time is the sum of the three. Beginning a row costs nothing unless given. */
export type Rate = Work;

/** What decides about forms on a machine, at the number of threads that run; `biform tune` measures it. */
export interface Machine {
  /** Contraction with a matrix: of few rows, which streams it, and of many, which lays it out first. */
  readonly contract: { readonly few: Rate; readonly many: Rate };
  /**
   * Attention with few and with many query rows per key, heads that share a key counted as rows, where every head or group has keys
   * of its own; and with one key for all heads.
   */
  readonly attend: { readonly few: Rate; readonly many: Rate; readonly shared: Rate };
  /** Rows up to which they are few; as many of more as attention (`panel`) and contraction (`tile`) work on at once (0: one by one). */
  readonly few: number;
  readonly panel: number;
  readonly tile: number;
  /** Cached numbers of 8 or 16 bits that become float32 per second; they do at once unless given. */
  readonly widen?: number | undefined;
  /** Seconds that an op takes whatever its size. */
  readonly op: number;
  /** Reading and computing go on at the same time, so that the longer of the two counts rather than their sum. */
  readonly overlaps?: boolean;
}

/**
 * What a datasheet says: bytes per second of memory, FLOP/s with the type of the weights and with that of the cache (as the weights'
 * unless given), seconds to start an op (0 unless given).
 */
export interface Roof {
  readonly bytes: number;
  readonly flops: number;
  readonly attend?: number;
  readonly op?: number;
}

/** The machine of a datasheet: every kernel reads at full speed or computes at full speed, whichever takes longer. */
export function roofline({ bytes, flops, attend: attending = flops, op = 0 }: Roof): Machine {
  const [rate, attend] = [flops, attending].map((flops) => ({ bytes, flops })) as [Rate, Rate];
  return {
    contract: { few: rate, many: rate },
    attend: { few: attend, many: attend, shared: attend },
    few: 0,
    panel: 0,
    tile: 0,
    op,
    overlaps: true,
  };
}

/** A machine on which arithmetic alone takes time: with it the crossovers are those of the equations. */
export const arithmetic: Machine = roofline({ bytes: Number.POSITIVE_INFINITY, flops: 1 });

/** Where nothing was measured: two cores of 2024 and the 128-bit build. */
export const commonMachine: Machine = {
  contract: { few: { bytes: 30e9, flops: 100e9 }, many: { bytes: 12e9, flops: 75e9 } },
  attend: {
    few: { bytes: 30e9, flops: 40e9, rows: 3e8 },
    many: { bytes: 30e9, flops: 65e9, rows: 5e7 },
    shared: { bytes: 20e9, flops: 65e9 },
  },
  few: FEW,
  panel: PLAIN_COLUMNS,
  tile: FUSED_ROWS,
  op: 5e-6,
};

/** What makes up the time of a step, in seconds. */
export interface Prediction {
  /** Projections of the new tokens. */
  readonly project: number;
  /** Making keys and values of what is cached. */
  readonly unfold: number;
  readonly attend: number;
  /** What ops take whatever their size. */
  readonly start: number;
  readonly total: number;
}

/** Seconds of one attention layer in a form, from its declared cost, what it reads and the machine's rates. */
export function predict(attention: Costing, form: string, step: StepSizes, machine: Machine): Prediction {
  return priceAttention(attentionWork(attention, form, step), machine);
}

/** Seconds of one attention layer's work. */
export function priceAttention(work: AttentionWork, machine: Machine): Prediction {
  const { tokens, rows, heads, ops } = work;
  const { contract, attend: rates, few, panel, tile, widen = Number.POSITIVE_INFINITY } = machine;
  const seconds = (rate: Rate, { bytes, flops, rows: begun }: Work, of: number, step: number) =>
    timeWork(machine, rate, bytes, (flops * fillSteps(of, few, step)) / of, begun);
  const project = seconds(tokens <= few ? contract.few : contract.many, work.project, tokens, tile);
  const unfold = work.unfold ? workSeconds(machine, contract.many, work.unfold) : 0;
  const rate = rows <= few ? rates.few : heads > 1 ? rates.many : rates.shared;
  const attend = work.narrow / widen + seconds(rate, work.attend, rows, panel);
  const start = machine.op * ops;
  return { project, unfold, attend, start, total: project + unfold + attend + start };
}

/** Seconds to read so many bytes and do so many FLOPs with a kernel of a machine. */
export function workSeconds(machine: Pick<Machine, "overlaps">, rate: Rate, { bytes, flops, rows }: Work): number {
  return timeWork(machine, rate, bytes, flops, rows);
}

function timeWork({ overlaps }: Pick<Machine, "overlaps">, rate: Rate, bytes: number, flops: number, rows = 0): number {
  const reading = bytes / rate.bytes + (rate.rows ? rows / rate.rows : 0);
  const computing = flops / rate.flops;
  return overlaps ? Math.max(reading, computing) : reading + computing;
}

/** Rows that a kernel works on for so many: beyond `few` they are taken a step at a time, and the last step is filled up. */
export const fillSteps = (rows: number, few: number, step: number) =>
  rows <= few || !step ? rows : Math.ceil(rows / step) * step;

/**
 * The form that is predicted to take the least time, of those that there are at these sizes. Of two that do the same work, one that
 * takes a block of tokens at a time is for no fewer: a token of KDA takes 0.8 ms in chunks and 0.07 alone (16 heads of 128, wasm).
 * Several steps are of as many sequences that run together, each with as many new tokens.
 */
export function chooseForm(attention: Costing, step: StepSizes | readonly StepSizes[], machine: Machine): string {
  const names = formNames(attention.variant, attention.sizes);
  if (names.length === 1) return names[0]!;
  const steps = [step].flat();
  const times = names.map((name) => priceAttention(attentionWorks(attention, name, steps), machine).total);
  const best = names.filter((_, i) => times[i] === Math.min(...times));
  return best.find((name) => (attention.variant.forms[name]!.block ?? 1) <= steps[0]!.t) ?? best[0]!;
}

/** A form of an attention. */
export interface Contestant {
  readonly attention: Costing;
  readonly form: string;
}

/** An attention's first form and the next one, which competes with it; undefined for a variant with one form. */
export function rivalsOf(attention: Costing): readonly [Contestant, Contestant] | undefined {
  const [first, second] = formNames(attention.variant, attention.sizes);
  return first && second
    ? [
        { attention, form: first },
        { attention, form: second },
      ]
    : undefined;
}

const FARTHEST = 2 ** 40;

/** Tokens in all from which on the second takes less time for a step of t; t where it always does, Infinity where it never does. */
export function crossoverContext(
  [first, second]: readonly [Contestant, Contestant],
  step: Omit<StepSizes, "s">,
  machine: Machine,
): number {
  const gain = (s: number) => timeOf(first, { ...step, s }, machine) - timeOf(second, { ...step, s }, machine);
  if (gain(step.t) > 0) return step.t;
  return findFrom(step.t, FARTHEST, gain);
}

/** New tokens up to which the second takes less time over `s` tokens in all; longer steps run in the first. */
export function crossoverChunk(
  [first, second]: readonly [Contestant, Contestant],
  step: Omit<StepSizes, "t">,
  machine: Machine,
): number {
  const loss = (t: number) => timeOf(second, { ...step, t }, machine) - timeOf(first, { ...step, t }, machine);
  return loss(1) >= 0 ? 0 : findFrom(1, step.s, loss);
}

const timeOf = ({ attention, form }: Contestant, step: StepSizes, machine: Machine) =>
  predict(attention, form, step, machine).total;

/** From where on what is not above 0 at `from` is so, to a hundred-thousandth; Infinity where it is not at `most`. */
function findFrom(from: number, most: number, gain: (x: number) => number): number {
  let [low, below] = [from, gain(from)];
  let [high, above] = [4 * from, gain(4 * from)];
  while (above <= 0) {
    if (high > most) return Number.POSITIVE_INFINITY;
    [low, below, high] = [high, above, 4 * high];
    above = gain(high);
  }
  // Times are lines with a few bends: where one through both ends meets 0 is near, if not at, the end of the search.
  for (let halve = false; high - low > 1e-5 * high; ) {
    const before = high - low;
    const line = low + (before * below) / (below - above);
    const middle = halve ? (low + high) / 2 : Math.min(high - 4e-6 * high, Math.max(low + 4e-6 * high, line));
    const at = gain(middle);
    if (at > 0) [high, above] = [middle, at];
    else [low, below] = [middle, at];
    halve = high - low > before / 2;
  }
  return high;
}
