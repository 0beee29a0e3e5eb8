import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { type Call, mayBeCall, type Schemas } from "./call.ts";
import { type Family, familyOf, thoughtsOf } from "./family.ts";
import { Broken, Cut } from "./scan.ts";

/** A piece of what a model says: of its answer, of its thoughts, or a call of a tool. */
export interface Delta {
  readonly content?: string;
  readonly reasoning?: string;
  /** A whole call: `id` is there where the model wrote one itself, `arguments` are a JSON object. */
  readonly call?: Call & { readonly index: number };
}

/** Text in, as a model writes it, in pieces of any size; what it means out, as soon as that is certain. */
export interface Parser {
  push(text: string): readonly Delta[];
  /** What was still uncertain. Nothing follows. */
  end(): readonly Delta[];
}

export interface ParserOptions {
  /** Whether calls are looked for: without tools, all is content. */
  readonly tools: boolean;
  /** Whether the prompt has begun the thoughts already: see `thinkingAfter`. */
  readonly thinking: "open" | "closed";
  /** JSON Schemas of tools' arguments by name: where a family writes values without types, they say which. */
  readonly schemas?: Schemas | undefined;
}

/**
 * The parser for a model of this template, chosen by the marks that the template has. Its deltas put together are the same however
 * the text was cut. What is no well-formed call is content, whole and with its marks: so a call is told when it is complete, and
 * not before. Marks that are special tokens must be in the text: see `markTokens`.
 */
export function parserFor(template: string | undefined, options: ParserOptions): Parser {
  const family = options.tools ? familyOf(template) : undefined;
  return new Marks(family, thoughtsOf(template), options);
}

/** Whether a prompt of this template ends within the model's thoughts. */
export function thinkingAfter(template: string | undefined, prompt: string): "open" | "closed" {
  const [open] = thoughtsOf(template) ?? [];
  return open !== undefined && prompt.trimEnd().endsWith(open) ? "open" : "closed";
}

/** The special tokens that must stand in the text for the parser of this template: a request's `special`. */
export function markTokens(
  template: string | undefined,
  tokenizer: Tokenizer,
  { tools }: Pick<ParserOptions, "tools">,
): ReadonlySet<number> {
  const { open, close, before = [], after = [], within = [] } = (tools && familyOf(template)) || {};
  const marks = [...(thoughtsOf(template) ?? []), open, close, ...before, ...after, ...within];
  const ids = marks.flatMap((mark) => (mark === undefined ? [] : (tokenizer.id(mark) ?? [])));
  return new Set(ids.filter((id) => tokenizer.special.has(id)));
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/** Letters and digits at random: enough of them that no two calls of a conversation are alike. */
function randomId(length: number): string {
  return Array.from({ length }, () => letters[Math.floor(letters.length * Math.random())]).join("");
}

/** Closing marks that are tried for one call: arguments may hold the mark themselves, but a hostile text must not cost its square. */
const TRIES = 64;

class Marks implements Parser {
  readonly #family: Family | undefined;
  readonly #thoughts: readonly [open: string, close: string] | undefined;
  readonly #schemas: Schemas;
  #state: "thoughts" | "answer" | "call";
  /** What has come and is not said yet. */
  #text = "";
  /** Blanks and a mark around calls: content if text follows, nothing if a call does. */
  #held = "";
  /** The mark that began the call that is being read, how many closing marks in it were tried, and where the next one may be. */
  #opened = "";
  #tries = 0;
  #from = 0;
  /** Whether anything of the answer was said, and whether thoughts or a call came last before it. */
  #begun = false;
  #after: "thoughts" | "call" | undefined;
  #calls = 0;
  #deltas: Delta[] = [];

  constructor(family: Family | undefined, thoughts: readonly [string, string] | undefined, options: ParserOptions) {
    this.#family = family;
    this.#thoughts = thoughts;
    this.#schemas = options.schemas ?? new Map();
    this.#state = thoughts && options.thinking === "open" ? "thoughts" : "answer";
  }

  push(text: string): readonly Delta[] {
    this.#text += text;
    return this.#run("open");
  }

  end(): readonly Delta[] {
    this.#run("ended");
    const held = this.#after === "thoughts" ? this.#held.replace(/^[\r\n]+/, "") : this.#held;
    if (held && this.#state === "answer" && this.#after !== "call") this.#say("content", held);
    this.#held = "";
    return this.#take();
  }

  #take(): readonly Delta[] {
    const deltas = this.#deltas;
    this.#deltas = [];
    return deltas;
  }

  #run(input: "open" | "ended"): readonly Delta[] {
    const steps = {
      thoughts: () => this.#think(input),
      answer: () => this.#answer(input),
      call: () => this.#call(input),
    };
    const left = () => this.#text || (input === "ended" && this.#state === "call");
    while (left() && steps[this.#state]());
    return input === "open" ? this.#take() : this.#deltas;
  }

  /** Each step says what is certain and tells whether there may be more to do. */
  #think(input: "open" | "ended"): boolean {
    const [, close] = this.#thoughts!;
    const { mark, before } = this.#next([close], input);
    const text = this.#held + before;
    this.#held = "";
    const said = text.trimEnd();
    if (said) this.#say("reasoning", this.#after === undefined ? said.replace(/^\s+/, "") : said);
    if (said) this.#after = "thoughts";
    if (mark === undefined) {
      this.#held = this.#after ? text.slice(said.length) : "";
      return false;
    }
    [this.#state, this.#after] = ["answer", "thoughts"];
    return true;
  }

  #answer(input: "open" | "ended"): boolean {
    const family = this.#family;
    const [think] = this.#thoughts ?? [];
    const first = !this.#begun && this.#calls === 0;
    if (first && family?.bare && mayBeCall(this.#text) && this.#text.trim()) return this.#open("");
    const { open, before: begins = [], after: ends = [] } = family ?? {};
    const thinks = first && this.#after === undefined && think !== undefined;
    const { mark, before } = this.#next([open, ...begins, ...ends, ...(thinks ? [think] : [])], input);
    this.#content(before);
    if (mark === undefined) return false;
    if (mark === think) {
      if (!this.#begun) {
        [this.#state, this.#held] = ["thoughts", ""];
        return true;
      }
      this.#content(mark);
    } else if (mark === open) return this.#open(mark);
    // The mark that ends a run of calls says nothing after one.
    else if (!ends.includes(mark) || this.#after !== "call") this.#held += mark;
    return true;
  }

  #open(mark: string): boolean {
    [this.#state, this.#opened, this.#tries, this.#from] = ["call", mark, 0, 0];
    return true;
  }

  #call(input: "open" | "ended"): boolean {
    const { close, read, unclosed } = this.#family!;
    if (this.#opened === "" && !mayBeCall(this.#text)) {
      this.#state = "answer";
      return true;
    }
    const at = close === undefined ? -1 : this.#text.indexOf(close, this.#from);
    if (at < 0) {
      this.#from = Math.max(0, this.#text.length - (close?.length ?? 0));
      if (input === "open") return false;
      if (!unclosed) return this.#giveUp(this.#text.length);
    }
    const [end, next] = at < 0 ? [this.#text.length, this.#text.length] : [at, at + close!.length];
    try {
      this.#give(read(this.#text.slice(0, end), this.#schemas));
    } catch (error) {
      if (!(error instanceof Cut || error instanceof Broken)) throw error;
      this.#from = next;
      return error instanceof Cut && at >= 0 && ++this.#tries < TRIES ? true : this.#giveUp(next);
    }
    this.#text = this.#text.slice(next);
    this.#state = "answer";
    return true;
  }

  #give(calls: readonly Call[]): void {
    const { idLength } = this.#family!;
    for (const { id = idLength ? randomId(idLength) : undefined, name, arguments: text } of calls)
      this.#deltas.push({ call: { index: this.#calls++, id, name, arguments: text } });
    [this.#held, this.#after] = ["", "call"];
  }

  /** What began as a call is none: it is content, up to `end`. */
  #giveUp(end: number): boolean {
    const text = this.#opened + this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    this.#state = "answer";
    this.#content(text);
    return true;
  }

  /** Content, but for the blanks at its end. */
  #content(text: string): void {
    const all = this.#held + text;
    const said = all.trimEnd();
    this.#held = all;
    if (!text.trim()) return;
    this.#held = all.slice(said.length);
    // Templates put empty lines between thoughts and an answer.
    this.#say("content", !this.#begun && this.#after === "thoughts" ? said.replace(/^[\r\n]+/, "") : said);
    [this.#begun, this.#after] = [true, undefined];
  }

  #say(kind: "content" | "reasoning", text: string): void {
    const last = this.#deltas.at(-1);
    if (last && kind in last) this.#deltas[this.#deltas.length - 1] = { [kind]: last[kind] + text };
    else this.#deltas.push({ [kind]: text });
  }

  /** The first of some marks, and the text before it, which is taken; without one, the text that cannot be the begin of any. */
  #next(marks: readonly (string | undefined)[], input: "open" | "ended"): { mark: string | undefined; before: string } {
    let [at, mark, keep]: [number, string | undefined, number] = [this.#text.length, undefined, 0];
    for (const one of marks) {
      if (one === undefined) continue;
      const found = this.#text.indexOf(one);
      if (found >= 0 && found < at) [at, mark] = [found, one];
      if (input === "open")
        for (let length = Math.min(one.length - 1, this.#text.length); length > keep; length--)
          if (this.#text.endsWith(one.slice(0, length))) keep = length;
    }
    if (mark === undefined) at -= keep;
    const before = this.#text.slice(0, at);
    this.#text = this.#text.slice(at + (mark?.length ?? 0));
    return { mark, before };
  }
}
