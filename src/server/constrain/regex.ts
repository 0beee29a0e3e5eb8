import { FormatError } from "../../tensor/error.ts";
import { classOf, complementOf, jsonClassOf, type Ranges, rangesOf } from "./set.ts";

/** Characters of an expression, groups in groups, and the numbers of a repetition. */
const LENGTH_LIMIT = 10_000;
const DEPTH_LIMIT = 50;
const REPEAT_LIMIT = 1000;

const digits: Ranges = [[48, 57]];
const word: Ranges = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const blank: Ranges = rangesOf(
  [9, 10, 11, 12, 13, 32, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff]
    .map((code) => [code, code] as const)
    .concat([[0x2000, 0x200a]]),
);
/** U+2028 and U+2029, which end lines in ECMA 262 and not in Python, are characters like others here. */
const lineEnds: Ranges = [
  [10, 10],
  [13, 13],
];
const anything: Ranges = complementOf([]);

const classes: Readonly<Record<string, Ranges>> = {
  d: digits,
  D: complementOf(digits),
  w: word,
  W: complementOf(word),
  s: blank,
  S: complementOf(blank),
};

const letters: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };

/**
 * A regular expression of ECMA 262 (with the flag u) as EBNF. "whole": a text that it matches from end to end; "string": what stands
 * between the quotes of a string of JSON in which it finds a match, as JSON Schema's `pattern` has it.
 *
 * Errors: FormatError naming the subject and what is not known: anchors but at both ends, assertions, references, properties of
 * characters, flags.
 */
export function regexGrammar(subject: string, pattern: string, use: "whole" | "string"): string {
  if (pattern.length > LENGTH_LIMIT)
    throw new FormatError(`${subject}: got ${pattern.length} characters, expected at most ${LENGTH_LIMIT}`);
  return new Reader(subject, pattern, use === "whole" ? classOf : jsonClassOf).read(use === "string");
}

class Reader {
  readonly #subject: string;
  readonly #letters: readonly string[];
  readonly #classOf: (ranges: Ranges) => readonly string[] | undefined;
  #at = 0;
  #depth = 0;

  constructor(subject: string, pattern: string, classOf: (ranges: Ranges) => readonly string[] | undefined) {
    this.#subject = subject;
    this.#letters = [...pattern];
    this.#classOf = classOf;
  }

  /** All of it. Where a match may lie anywhere (`search`), an end without an anchor has any text beside it. */
  read(search: boolean): string {
    const options: string[] = [];
    do {
      const begins = this.#has("^");
      const body = this.#sequence();
      const ends = this.#has("$");
      if (this.#next !== undefined && this.#next !== "|") this.#fail(this.#next === ")" ? ") without (" : "$ inside");
      const any = `${this.#write(anything)}*`;
      options.push([search && !begins ? any : "", body, search && !ends ? any : ""].filter(Boolean).join(" ") || '""');
    } while (this.#has("|"));
    return `(${options.join(" | ")})`;
  }

  #write(ranges: Ranges): string {
    const options = this.#classOf(ranges) ?? this.#fail("a class of more than 1000 characters, and none of ASCII,");
    return `(${options.join(" | ")})`;
  }

  get #next(): string | undefined {
    return this.#letters[this.#at];
  }

  #fail(got: string): never {
    throw new FormatError(
      `${this.#subject}: got ${got} at ${this.#at} of the expression, expected what a grammar can say; write it otherwise`,
    );
  }

  #has(text: string): boolean {
    const found = this.#letters.slice(this.#at, this.#at + text.length).join("") === text;
    if (found) this.#at += text.length;
    return found;
  }

  #options(): string {
    if (++this.#depth > DEPTH_LIMIT) this.#fail(`more than ${DEPTH_LIMIT} groups in groups`);
    const options = [this.#sequence()];
    while (this.#has("|")) options.push(this.#sequence());
    this.#depth--;
    return `(${options.map((option) => option || '""').join(" | ")})`;
  }

  #sequence(): string {
    const items: string[] = [];
    for (; this.#next !== undefined && !"|)$".includes(this.#next); items.push(this.#repeated()));
    return items.join(" ");
  }

  #repeated(): string {
    const item = this.#atom();
    const times = this.#times();
    if (times === undefined) return item;
    // Lazy or greedy, the texts are the same.
    this.#has("?");
    if (this.#next !== undefined && "*+?".includes(this.#next)) this.#fail(`a second ${this.#next}`);
    return `${item}${times}`;
  }

  #times(): string | undefined {
    for (const sign of ["*", "+", "?"]) if (this.#has(sign)) return sign;
    if (!this.#has("{")) return undefined;
    const close = this.#letters.indexOf("}", this.#at);
    const text = this.#letters.slice(this.#at, close < 0 ? this.#at : close).join("");
    const [, from, comma, to] = /^(\d{1,9})(,?)(\d{0,9})$/.exec(text) ?? [];
    if (from === undefined || (!comma && to)) return this.#fail("a { without numbers");
    const [least, most] = [Number(from), to ? Number(to) : Number(from)];
    if (least > most || most > REPEAT_LIMIT) this.#fail(`{${text}}, which is more than ${REPEAT_LIMIT} times or none`);
    this.#at = close + 1;
    return comma && !to ? `{${least},}` : `{${least},${most}}`;
  }

  #atom(): string {
    const letter = this.#letters[this.#at++]!;
    if (letter === "(") {
      if (this.#has("?") && !this.#has(":")) {
        if (!this.#has("<")) this.#fail("an assertion or a flag");
        const close = this.#letters.indexOf(">", this.#at);
        if (close < 0 || "=!".includes(this.#next ?? "=")) this.#fail("an assertion");
        this.#at = close + 1;
      }
      const body = this.#options();
      if (!this.#has(")")) this.#fail("a group without its end");
      return body;
    }
    if (letter === "[") return this.#write(this.#class());
    if (letter === ".") return this.#write(complementOf(lineEnds));
    if (letter === "\\") return this.#write(this.#escape());
    if ("^*+?{".includes(letter)) this.#fail(letter === "^" ? "^ inside" : `${letter} without anything before it`);
    return this.#write([[letter.codePointAt(0)!, letter.codePointAt(0)!]]);
  }

  #class(): Ranges {
    const negated = this.#has("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#has("]")) {
      const from = this.#member();
      const range = this.#next === "-" && this.#letters[this.#at + 1] !== "]" && this.#has("-");
      if (!range) {
        ranges.push(...from);
        continue;
      }
      const to = this.#member();
      const [first, last] = [from[0]![0], to[0]![0]];
      const single = [from, to].every((part) => part.length === 1 && part[0]![0] === part[0]![1]);
      if (!single || first > last) this.#fail("a range without an order");
      ranges.push([first, last]);
    }
    const found = negated ? complementOf(ranges) : rangesOf(ranges);
    if (!found.length) this.#fail("a class of no character");
    return found;
  }

  #member(): Ranges {
    const letter = this.#letters[this.#at++];
    if (letter === undefined) return this.#fail("a class without its end");
    if (letter === "\\") return this.#has("b") ? [[8, 8]] : this.#escape();
    return [[letter.codePointAt(0)!, letter.codePointAt(0)!]];
  }

  #escape(): Ranges {
    const letter = this.#letters[this.#at++];
    if (letter === undefined) return this.#fail("a \\ at the end");
    if (Object.hasOwn(classes, letter)) return classes[letter]!;
    let code = Object.hasOwn(letters, letter) ? letters[letter] : undefined;
    if (letter === "x" || letter === "u") {
      const rest = this.#letters.slice(this.#at, this.#at + 8).join("");
      const [all, braced, plain] = /^(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2,4}))/.exec(rest) ?? [];
      const width = letter === "x" ? 2 : 4;
      const hex = letter === "u" ? (braced ?? plain) : plain?.slice(0, 2);
      if (all === undefined || hex === undefined || (braced === undefined && hex.length !== width))
        return this.#fail(`\\${letter} without a number`);
      this.#at += braced === undefined ? width : all.length;
      code = Number.parseInt(hex, 16);
    }
    if (code === undefined && /[A-Za-z1-9]/.test(letter)) return this.#fail(`\\${letter}`);
    code ??= letter.codePointAt(0)!;
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) this.#fail("a surrogate, or no character at all");
    return [[code, code]];
  }
}
