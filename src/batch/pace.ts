import { PREFILL_CHUNK } from "../cost/host.ts";

/** How many times as long as a step that only writes one may take that reads beside it: below 3, since steps vary. */
const STRETCH = 2.5;
/** Seconds of a step that only reads: whoever joins, and whoever asks a server, waits for its end. */
const STALL = 0.5;
/** Fewest tokens of prompts that a step reads, so that every prompt comes to its end. */
const LEAST = 8;
/** Tokens that are read where nothing has been observed yet. */
const FIRST = 32;
/** Steps that read beside writing, after which one that only writes is observed again. */
const FRESH = 32;
/** What a new observation counts. */
const WEIGHT = 0.3;

/**
 * How many tokens of prompts a step reads beside the sequences that write: as many as it can read while they wait at most
 * `STRETCH` times as long for their next token as without it, by how long steps were observed to take.
 */
export class Pace {
  readonly #most: number;
  /** Sequences that wrote in the last step that only wrote, and the seconds that it took. */
  #writers = 0;
  #writing = 0;
  /** Seconds that a token of a prompt takes. */
  #reading: number | undefined;
  #mixed = 0;

  /** `most`: tokens that a step reads whatever was observed. */
  constructor(most = PREFILL_CHUNK) {
    this.#most = most;
  }

  /** Tokens to read beside so many that write; none where a step that only writes is due, to be observed. */
  budget(writers: number): number {
    if (writers > 0 && (this.#writers !== writers || this.#mixed >= FRESH)) return 0;
    const seconds = writers > 0 ? (STRETCH - 1) * this.#writing : STALL;
    const tokens = this.#reading === undefined ? FIRST : Math.floor(seconds / this.#reading);
    return Math.min(this.#most, Math.max(LEAST, tokens));
  }

  /** A step of so many sequences that wrote and tokens that were read took so many seconds. */
  note(writers: number, read: number, seconds: number): void {
    if (read === 0) {
      this.#writing = writers === this.#writers ? blend(this.#writing, seconds) : seconds;
      this.#writers = writers;
      this.#mixed = 0;
      return;
    }
    if (writers > 0) this.#mixed++;
    // Beside writing: what it took longer, at least a tenth of a token's share.
    const each = Math.max(writers > 0 ? seconds - this.#writing : seconds, seconds / (10 * (writers + read))) / read;
    this.#reading = this.#reading === undefined ? each : blend(this.#reading, each);
  }
}

const blend = (old: number, now: number) => old + WEIGHT * (now - old);
