import { checkLength } from "./text.ts";
import { TemplateFault, type Value } from "./value.ts";

/** Steps of one rendering: loops' rounds, calls, printed expressions. A long conversation takes some ten thousand. */
const STEP_LIMIT = 10_000_000;

/** One rendering. */
export class Run {
  /** What the template can see by name: functions of ours, and what it was given. */
  readonly context: ReadonlyMap<string, Value>;
  /** The time that `strftime_now` tells. */
  readonly date: Date;
  #steps = 0;
  constructor(context: ReadonlyMap<string, Value>, date: Date) {
    this.context = context;
    this.date = date;
  }
  step(): void {
    if (++this.#steps > STEP_LIMIT) throw new TemplateFault(`more than ${STEP_LIMIT} steps, expected fewer`);
  }
}

/** Variables of a code that runs; undefined for one that holds nothing. `outer` are those of the code around its text. */
export interface Frame {
  readonly run: Run;
  readonly outer: Frame | undefined;
  readonly slots: (Value | undefined)[];
}

/** What is written. */
export class Output {
  #parts: string[] = [];
  #length = 0;
  add(text: string): void {
    this.#length += text.length;
    checkLength(this.#length);
    this.#parts.push(text);
  }
  get text(): string {
    return this.#parts.join("");
  }
}

/** What a statement leaves: it went through, or its loop is to end or to go on with the next round. */
export type Signal = undefined | "break" | "continue";

export type Evaluate = (frame: Frame) => Value;
export type Execute = (frame: Frame, output: Output) => Signal;
