import { PREFILL_CHUNK } from "../cost/host.ts";
import { History } from "./history.ts";

/** What was asked of a run that its numbers hang on. */
export interface Manner {
  readonly form?: string | undefined;
  readonly exact?: boolean | undefined;
}

/** One run of tokens through the model: where it ended, and how it ran. */
export interface Stride extends Manner {
  readonly start: number;
  readonly end: number;
}

/** How runs went from one on, the first being 0. */
export interface Change extends Manner {
  readonly from: number;
}

/**
 * How a session's tokens were cut into runs: what is run again in the same pieces and manner gives the same bits. 4 bytes for each
 * run; manners are written down where they change.
 */
export class Steps {
  #ends: History;
  #changes: Change[];

  constructor(ends: Int32Array = new Int32Array(), changes: readonly Change[] = []) {
    this.#ends = new History(ends);
    this.#changes = [...changes];
  }

  push(end: number, { form, exact }: Manner): void {
    const last = this.#changes.at(-1);
    if (form !== last?.form || exact !== last?.exact) this.#changes.push({ from: this.#ends.length, form, exact });
    this.#ends.push(Int32Array.of(end));
  }

  /** Where runs ended. */
  get ends(): Int32Array {
    return this.#ends.ids;
  }

  /** How they ran, where that changes. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** The runs of the tokens from `start`, where one began, up to `end`; the last one shorter where it went further. */
  between(start: number, end: number): Stride[] {
    const all: Stride[] = [];
    let from = start;
    for (let i = this.#indexAfter(start); from < end; i++) {
      // Where nobody has written down how: as a long input is run.
      const to = Math.min(end, this.#ends.ids[i] ?? from + PREFILL_CHUNK);
      const { form, exact } = this.#changes.findLast((one) => one.from <= i) ?? {};
      all.push({ start: from, end: to, form, exact });
      from = to;
    }
    return all;
  }

  /** Forgets the runs that went beyond `length`. */
  cut(length: number): void {
    const kept = this.#indexAfter(length);
    this.#ends.cut(kept);
    this.#changes = this.#changes.filter(({ from }) => from < kept);
  }

  fork(): Steps {
    return new Steps(this.#ends.ids, this.#changes);
  }

  /** The first run that ends beyond `start`. */
  #indexAfter(start: number): number {
    const { ids } = this.#ends;
    let [low, high] = [0, ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ids[middle]! > start) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
