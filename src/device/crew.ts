/** Milliseconds of work between two trials: at least, and at most, where fewer threads than there are run and where all do. */
const [SOON, FEWER_LATE, LATE] = [600, 16_000 / 12, 16_000];
/** Milliseconds between launches that count as work: longer pauses are someone else's. */
const PAUSE = 50;
/** Milliseconds that a trial stays with one number of threads before it turns to the other: the workers wake up once in it. */
const TURN = 4;
/** Milliseconds of comparable work that end a trial: where the difference is clear, and at the latest. */
const [CLEAR, ENOUGH] = [16, 400];
/** Standard errors that make a difference clear: every turn of a trial is one more look at it. */
const SURE = 2;
/** Time between trials, in what the slower number of threads lost in one: trials cost less than a hundredth. */
const RARE = 150;
/** A ratio of times that tells that the machine has changed. */
const APART = 1.25;
/** Between trials one launch of so many is timed; so many milliseconds of them tell whether the machine has changed. */
const [SAMPLED, CHANGED] = [8, 24];

/** Launches alike (same kernel, sizes within a factor of two) under the two numbers of threads of a trial: how many, their times, the squares of these. */
interface Kind {
  readonly count: [number, number];
  readonly time: [number, number];
  readonly square: [number, number];
}

/** A comparison of two numbers of threads, in short turns, by launches that are alike. */
interface Trial {
  readonly other: number;
  readonly kinds: Map<number, Kind>;
  side: 0 | 1;
  until: number;
}

/**
 * How many threads share the larger kernels, by what was observed: every now and then the number in use is compared with
 * another one over the same kinds of launches, in turns of some milliseconds, and the faster one stays. A machine whose cores
 * are wanted by others so gets fewer threads than one that is idle. Times decide about speed alone: pieces and results do not
 * depend on the number of threads.
 */
export class Crew {
  readonly #choices: readonly number[];
  #at: number;
  #trial: Trial | undefined;
  /** Milliseconds of each kind of launch, as the last trial found them. */
  #known: ReadonlyMap<number, number> = new Map();
  /** Between trials: launches until the next one that is timed, and what those timed took and were to take. */
  #skip = SAMPLED;
  #seen = { took: 0, known: 0 };
  #kind = 0;
  #start = 0;
  /** Milliseconds of work since the last trial, and those before the next one. */
  #worked = 0;
  #wait = SOON / 8;
  #up = false;
  readonly #now: () => number;

  /** @param threads The most there may be; @param now a clock in milliseconds. */
  constructor(threads: number, now: () => number = () => performance.now()) {
    const choices = [];
    for (let n = 1; n < threads; n *= 2) choices.push(n);
    this.#choices = [...choices, threads];
    this.#at = this.#choices.length - 1;
    this.#now = now;
  }

  /** Threads in use between trials. */
  get threads(): number {
    return this.#choices[this.#at]!;
  }

  /** Threads for a launch; `end` must follow it. */
  begin(kernel: number, args: readonly number[]): number {
    const now = this.#now();
    this.#worked += Math.min(now - this.#start, PAUSE);
    this.#start = now;
    if (!this.#trial) {
      if (this.#worked < this.#wait) {
        if (--this.#skip === 0) this.#kind = kindOf(kernel, args);
        return this.threads;
      }
      this.#trial = { other: this.#neighbour(), kinds: new Map(), side: 0, until: now + TURN };
    }
    this.#kind = kindOf(kernel, args);
    return this.#choices[this.#trial.side === 0 ? this.#at : this.#trial.other]!;
  }

  /** Tells that the launch is over. */
  end(): void {
    const trial = this.#trial;
    if (!trial) {
      if (this.#skip === 0) this.#watch();
      return;
    }
    const now = this.#now();
    let kind = trial.kinds.get(this.#kind);
    if (!kind) {
      kind = { count: [0, 0], time: [0, 0], square: [0, 0] };
      trial.kinds.set(this.#kind, kind);
    }
    kind.count[trial.side]++;
    kind.time[trial.side] += now - this.#start;
    kind.square[trial.side] += (now - this.#start) ** 2;
    if (now < trial.until) return;
    if (trial.side === 1) this.#judge(trial);
    trial.side = trial.side === 0 ? 1 : 0;
    trial.until = now + TURN;
  }

  /** Compares a launch with what the last trial found, and brings the next one forward where the machine has changed. */
  #watch(): void {
    this.#skip = SAMPLED;
    const known = this.#known.get(this.#kind);
    if (known === undefined) return;
    const seen = this.#seen;
    seen.took += this.#now() - this.#start;
    seen.known += known;
    if (seen.known < CHANGED) return;
    if (seen.took > APART * seen.known || seen.known > APART * seen.took) this.#wait = SOON;
    this.#seen = { took: 0, known: 0 };
  }

  /** Ends the trial if what both numbers of threads did is enough to choose by. */
  #judge(trial: Trial): void {
    const { mine, others, error } = comparable(trial.kinds.values());
    const least = Math.min(mine, others);
    const apart = Math.abs(others - mine);
    const clear = least >= CLEAR && apart > SURE * error;
    const tired = this.#worked > this.#wait + 8 * ENOUGH;
    if (!clear && least < ENOUGH && !tired) return;
    this.#trial = undefined;
    this.#worked = 0;
    const side = others < mine ? 1 : 0;
    if (side) this.#at = trial.other;
    this.#known = new Map(
      [...trial.kinds].flatMap(([kind, { count, time }]) => (count[side] ? [[kind, time[side] / count[side]]] : [])),
    );
    this.#seen = { took: 0, known: 0 };
    // Cores that become free are not seen by fewer threads than there are, unless they are tried.
    const late = this.#at === this.#choices.length - 1 ? LATE : FEWER_LATE;
    this.#wait = side ? SOON : Math.min(late, Math.max(SOON, RARE * apart));
  }

  /** Another choice to try: those above and below take turns. */
  #neighbour(): number {
    this.#up = this.#at === 0 || (this.#at < this.#choices.length - 1 && !this.#up);
    return this.#at + (this.#up ? 1 : -1);
  }
}

/** Times of as many launches of each kind under either number of threads, and the standard error of their difference. */
function comparable(kinds: Iterable<Kind>): { mine: number; others: number; error: number } {
  const sums: [number, number] = [0, 0];
  let variance = 0;
  for (const { count, time, square } of kinds) {
    const n = Math.min(...count);
    if (n === 0) continue;
    for (const side of [0, 1] as const) {
      const mean = time[side] / count[side];
      sums[side] += n * mean;
      // Of what was seen once, the spread is not known: it may be as large as itself.
      const spread = count[side] > 1 ? (square[side] - time[side] * mean) / (count[side] - 1) : mean ** 2;
      variance += (n ** 2 * Math.max(0, spread)) / count[side];
    }
  }
  return { mine: sums[0], others: sums[1], error: Math.sqrt(variance) };
}

/** A number for launches of one kernel with arguments of like size; addresses, which are large, do not count. */
function kindOf(kernel: number, args: readonly number[]): number {
  let kind = kernel;
  for (const x of args) if (x < 1 << 22) kind = (Math.imul(kind, 33) + Math.clz32(x)) | 0;
  return kind;
}
