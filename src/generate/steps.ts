import { PREFILL_CHUNK } from "../cost/host.ts";
import { History } from "./history.ts";

/** One run of tokens through the model: where it ended, and the form that was asked for. */
export interface Stride {
  readonly start: number;
  readonly end: number;
  readonly form: string | undefined;
}

/** The form that was asked for from one run on. */
interface Change {
  readonly from: number;
  readonly form: string | undefined;
}

/**
 * How a session's tokens were cut into runs: what is run again in the same pieces gives the same bits. 4 bytes for each run; forms
 * are written down where they change.
 */
export class Steps {
  #ends: History;
  #forms: Change[];

  constructor(ends: Int32Array = new Int32Array(), forms: readonly Change[] = []) {
    this.#ends = new History(ends);
    this.#forms = [...forms];
  }

  push(end: number, form: string | undefined): void {
    if (form !== this.#forms.at(-1)?.form) this.#forms.push({ from: this.#ends.length, form });
    this.#ends.push(Int32Array.of(end));
  }

  /** Where runs ended. */
  get ends(): Int32Array {
    return this.#ends.ids;
  }

  /** The runs of the tokens from `start`, where one began, up to `end`; the last one shorter where it went further. */
  between(start: number, end: number): Stride[] {
    const all: Stride[] = [];
    let from = start;
    for (let i = this.#indexAfter(start); from < end; i++) {
      // Where nobody has written down how: as a long input is run.
      const to = Math.min(end, this.#ends.ids[i] ?? from + PREFILL_CHUNK);
      all.push({ start: from, end: to, form: this.#forms.findLast((one) => one.from <= i)?.form });
      from = to;
    }
    return all;
  }

  /** Forgets the runs that went beyond `length`. */
  cut(length: number): void {
    const kept = this.#indexAfter(length);
    this.#ends.cut(kept);
    this.#forms = this.#forms.filter(({ from }) => from < kept);
  }

  fork(): Steps {
    return new Steps(this.#ends.ids, this.#forms);
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
