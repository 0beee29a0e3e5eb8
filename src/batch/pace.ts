import { PREFILL_CHUNK } from "../cost/host.ts";

/** How many times as long as a step that only writes one may take that reads beside it: well below 3, since steps vary. */
const STRETCH = 2;
/** Seconds of a step that only reads: whoever joins, and whoever asks a server, waits for its end. */
const STALL = 0.5;
/**
 * Fewest tokens of prompts that a step reads, so that every prompt comes to its end. Over a long context a token costs as much as a
 * step that only writes: with eight of them such a step took more than three times as long.
 */
const LEAST = 2;
/** Tokens that are read where nothing has been observed yet. */
const FIRST = 64;
/** Steps that read beside writing, after which one that only writes is observed again. */
const FRESH = 32;
/** Steps that only write whose middle one counts: on a busy machine single ones take several times as long. */
const OBSERVED = 7;

/**
 * How many tokens of prompts a step reads. Beside sequences that write: as many as it can while they wait for their next token at most
 * `STRETCH` times as long as without; where none write: as many as take `STALL`. Both are found by observing: what a step took beyond
 * one that only writes is what its tokens cost, and the next one reads as many as may cost what is left, at most twice and at least
 * half as many. So fewer are read as attention goes over more.
 */
export class Pace {
  readonly #most: number;
  /** Sequences that wrote in the last steps that only wrote, and the seconds that each took, the newest last. */
  #writers = 0;
  #writing: number[] = [];
  /** Steps that read beside writing since then. */
  #since = 0;
  #beside = FIRST;
  #alone = FIRST;

  /** `most`: tokens that a step reads whatever was observed. */
  constructor(most = PREFILL_CHUNK) {
    this.#most = most;
  }

  /** Tokens to read beside so many that write; none where a step that only writes is due, to be observed. */
  budget(writers: number): number {
    if (writers === 0) return Math.min(this.#most, Math.round(this.#alone));
    if (this.#writers !== writers || this.#since >= FRESH) return 0;
    return Math.min(this.#most, Math.round(this.#beside));
  }

  /** A step of so many sequences that wrote and tokens that were read took so many seconds. */
  note(writers: number, read: number, seconds: number): void {
    if (read === 0) {
      const before = writers === this.#writers ? this.#writing.slice(1 - OBSERVED) : [];
      [this.#writers, this.#writing, this.#since] = [writers, [...before, seconds], 0];
      return;
    }
    const writing = writers ? middle(this.#writing) : 0;
    const wanted = writers ? (STRETCH - 1) * writing : STALL;
    const next = read * Math.min(2, Math.max(0.5, wanted / Math.max(seconds - writing, 1e-9)));
    if (writers) {
      this.#since++;
      this.#beside = this.#bound(next, this.#beside, read);
    } else this.#alone = this.#bound(next, this.#alone, read);
  }

  /** A step that read less than it might have says nothing against more. */
  #bound(next: number, before: number, read: number): number {
    const grown = read < Math.round(before) ? Math.max(next, before) : next;
    return Math.min(this.#most, Math.max(LEAST, grown));
  }
}

const middle = (list: readonly number[]) => list.toSorted((a, b) => a - b)[(list.length - 1) >> 1] ?? 0;
