/**
 * Live progress of a long run: on a terminal a bar with the time left, the curve of the run at work and those of the
 * runs before it, drawn by listr2; elsewhere a plain line every few seconds, so that a log stays short.
 * It draws while the event loop turns: a long computation has to await something now and then.
 */
import { Estimate } from "./estimate.ts";

/**
 * Where a run stands: work done in the units of `total`, what is at work (variant, seed, step), and its latest loss. The time
 * left follows from `done`, so its units should take about the same time each, and work that begins says so with what was
 * done before.
 */
export interface Standing {
  done: number;
  label: string;
  loss?: number | undefined;
  /** What stands beside the label and changes with every step, such as "step 40 of 200". */
  detail?: string | undefined;
}

/** What a display is of, where it goes, and whose milliseconds it counts. */
export interface Work {
  readonly title: string;
  readonly total: number;
  readonly stream?: NodeJS.WritableStream | undefined;
  readonly now?: (() => number) | undefined;
}

export interface Progress {
  update(standing: Standing): void;
  /** Ends the display and leaves its last state, or `message`, on the stream. Call it on failure too. */
  finish(message?: string): Promise<void>;
}

const blocks = "▁▂▃▄▅▆▇█";
const curveWidth = 28;
const kept = 6;
/** Milliseconds between lines of a log. */
const every = 5000;

/** A curve as `width` characters, each the mean of its share of the values; what is not finite is left out. */
export function sparkline(values: readonly number[], width = curveWidth): string {
  const known = values.filter(Number.isFinite);
  const cells = Math.min(width, known.length);
  const means = Array.from({ length: cells }, (_, cell) => {
    const part = known.slice(
      Math.floor((cell * known.length) / cells),
      Math.floor(((cell + 1) * known.length) / cells),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const level = (mean: number) =>
    most > least ? Math.round(((mean - least) / (most - least)) * (blocks.length - 1)) : 0;
  return means.map((mean) => blocks[level(mean)]).join("");
}

/** Seconds in a fixed short form: 0:42, 3:20, 1:05:00. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** What a display shows: the standing as a sentence, and a line per run with its curve, the one at work last. */
export class Story {
  #title: string;
  #total: number;
  #now: () => number;
  #start: number;
  #standing: Standing = { done: 0, label: "" };
  #losses: number[] = [];
  #past: string[] = [];
  #estimate = new Estimate();

  constructor(title: string, total: number, now: () => number) {
    this.#title = title;
    this.#total = total;
    this.#now = now;
    this.#start = now();
  }

  take(standing: Standing): void {
    this.#estimate.take(standing.done, this.#now());
    if (standing.label !== this.#standing.label && this.#losses.length > 0) {
      this.#past = [...this.#past, this.#run()].slice(-kept);
      this.#losses = [];
    }
    if (standing.loss !== undefined) this.#losses.push(standing.loss);
    this.#standing = standing;
  }

  #run(): string {
    const loss = this.#losses.at(-1);
    const curve = loss === undefined ? "" : `  ${sparkline(this.#losses)} ${loss.toFixed(4)}`;
    return `${this.#standing.label}${curve}`;
  }

  complete(): boolean {
    return this.#standing.done >= this.#total;
  }

  head(): string {
    const share = this.#total > 0 ? Math.min(1, this.#standing.done / this.#total) : 0;
    const spent = (this.#now() - this.#start) / 1000;
    const ahead = this.#estimate.left(this.#total);
    const left = ahead !== undefined && share < 1 ? `, ${clock(ahead / 1000)} left` : "";
    const bar = "━".repeat(Math.round(share * 20)).padEnd(20, "┄");
    return `${this.#title} ${bar} ${Math.floor(share * 100)} %, ${clock(spent)} spent${left}`;
  }

  runs(): string[] {
    const { label, detail } = this.#standing;
    return label === "" ? this.#past : [...this.#past, detail ? `${this.#run()}  ${detail}` : this.#run()];
  }
}

/** A picture on a terminal. What draws it comes only where there is one: elsewhere it would take memory beside a model. */
function onTerminal(story: Story, stream: NodeJS.WriteStream, now: () => number): Progress {
  let drawn: Progress | undefined;
  const opening = import("./terminal.ts").then(({ draw }) => {
    drawn = draw(story, stream, now);
    return drawn;
  });
  return {
    update: (standing) => (drawn ? drawn.update(standing) : story.take(standing)),
    finish: async (message) => (await opening).finish(message),
  };
}

function inLog(story: Story, stream: NodeJS.WritableStream, now: () => number): Progress {
  let last = now();
  const line = () => stream.write(`${[story.head(), story.runs().at(-1)].filter(Boolean).join("; ")}\n`);
  return {
    update(standing) {
      story.take(standing);
      if (now() - last < every) return;
      last = now();
      line();
    },
    async finish(message) {
      if (message === undefined) line();
      else stream.write(`${message}\n`);
    },
  };
}

/**
 * Starts a display of `total` units of work on `stream` (standard error, where results on standard output stay clean).
 * `now` gives milliseconds; tests give their own.
 */
export function progress({ title, total, stream, now = () => performance.now() }: Work): Progress {
  return display(new Story(title, total, now), stream, now);
}

function display(story: Story, stream: NodeJS.WritableStream = process.stderr, now: () => number): Progress {
  const terminal = stream as NodeJS.WriteStream;
  // A terminal without a size (some containers) can show lines only.
  return terminal.isTTY && terminal.rows > 0 && terminal.columns > 0
    ? onTerminal(story, terminal, now)
    : inLog(story, stream, now);
}

/** A display that begins only once the work has taken two seconds, so that short work shows nothing. */
export function patient({ title, total, stream, now = () => performance.now() }: Work): Progress {
  const since = now();
  const story = new Story(title, total, now);
  let shown: Progress | undefined;
  return {
    update(standing) {
      if (!shown && standing.done < total && now() - since > 2000) shown = display(story, stream, now);
      if (shown) shown.update(standing);
      else story.take(standing);
    },
    async finish(message) {
      await shown?.finish(message);
      shown = undefined;
    },
  };
}

/** Displays for work of several parts, each with its own units: a part's begins when it is first heard of. */
export function inParts(): {
  watch(what: string, done: number, total: number): void;
  finish(message?: string): Promise<void>;
} {
  let [display, at] = [undefined as Progress | undefined, ""];
  return {
    watch(what, done, total) {
      if (what !== at) {
        void display?.finish();
        display = patient({ title: what, total });
        at = what;
      }
      display!.update({ done, label: "" });
    },
    async finish(message) {
      await display?.finish(message);
    },
  };
}

/** Writes a model's text; on a terminal without the control characters that would command it. */
export function show(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is meant
  process.stdout.write(process.stdout.isTTY ? text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd") : text);
}
