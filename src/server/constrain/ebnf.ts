import { FormatError } from "../../tensor/error.ts";
import { complementOf, type Ranges, rangesOf } from "./set.ts";

/** What a rule says. */
export type Node =
  | { readonly kind: "class"; readonly ranges: Ranges }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "rule"; readonly name: string }
  | { readonly kind: "all" | "any"; readonly parts: readonly Node[] }
  | { readonly kind: "repeat"; readonly part: Node; readonly least: number; readonly most: number | undefined };

/** Groups in groups, numbers of a repetition, and parts in all. */
const DEPTH_LIMIT = 100;
const REPEAT_LIMIT = 10_000;
const PART_LIMIT = 200_000;

const letters: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", f: "\f", v: "\v", "0": "\0" };

/**
 * A grammar by its rules' names: `name ::= ...` with texts in quotes, classes, groups, `|`, `*`, `+`, `?`, `{2,5}`, and comments from
 * `#` on, as in XGrammar and much as in llama.cpp. Errors: FormatError naming the line, for what is not so, a rule that is not there
 * or there twice, or no `root`.
 */
export function parseGrammar(text: string): ReadonlyMap<string, Node> {
  const parser = new GrammarParser(text);
  const rules = parser.read();
  if (!rules.has("root")) parser.fail("no rule root", "one");
  for (const [name, line] of parser.used)
    if (!rules.has(name)) parser.fail(`${name.slice(0, 60)}, which no rule has`, "the name of a rule", line);
  return rules;
}

class GrammarParser {
  /** Rules by name as they are named in others, and on which line first. */
  readonly used = new Map<string, number>();
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #parts = 0;

  constructor(text: string) {
    this.#text = text;
  }

  fail(got: string, expected: string, line = this.#line()): never {
    throw new FormatError(`grammar, line ${line}: got ${got}, expected ${expected}; correct the grammar`);
  }

  #line(): number {
    return this.#text.slice(0, this.#at).split("\n").length;
  }

  read(): Map<string, Node> {
    const rules = new Map<string, Node>();
    for (this.#skip(); this.#at < this.#text.length; this.#skip()) {
      const name = this.#match(NAME) ?? this.fail(this.#next(), "a rule as NAME ::= ...");
      this.#skip();
      if (this.#match(/::=/) === undefined) this.fail(this.#next(), "::=");
      if (rules.has(name)) this.fail(`the rule ${name.slice(0, 60)} twice`, "each once");
      rules.set(name, this.#options());
    }
    return rules;
  }

  #next(): string {
    return JSON.stringify(this.#text.slice(this.#at, this.#at + 20)) || "the end";
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "yu");
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #skip(): void {
    this.#match(/(?:[ \t\r\n]|#[^\n]*)*/);
  }

  #has(sign: string): boolean {
    this.#skip();
    if (!this.#text.startsWith(sign, this.#at)) return false;
    this.#at += sign.length;
    return true;
  }

  #options(): Node {
    if (++this.#depth > DEPTH_LIMIT) this.fail(`more than ${DEPTH_LIMIT} groups in groups`, "fewer");
    const parts = [this.#sequence()];
    while (this.#has("|")) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? parts[0]! : { kind: "any", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let atom = this.#atom(); atom; atom = this.#atom()) {
      if (++this.#parts > PART_LIMIT) this.fail(`more than ${PART_LIMIT} parts`, "fewer");
      parts.push(this.#repeated(atom));
    }
    return parts.length === 1 ? parts[0]! : { kind: "all", parts };
  }

  #repeated(part: Node): Node {
    const sign = this.#match(/[*+?]/);
    if (sign !== undefined)
      return { kind: "repeat", part, least: sign === "+" ? 1 : 0, most: sign === "?" ? 1 : undefined };
    const numbers = this.#match(/\{[^}\n]*\}/);
    if (numbers === undefined) return part;
    const [, from, comma, to] = /^\{\s*(\d{1,9})\s*(,?)\s*(\d{0,9})\s*\}$/.exec(numbers) ?? [];
    if (from === undefined || (!comma && to)) return this.fail(numbers, "numbers as {2}, {2,} or {2,5}");
    const [least, most] = [Number(from), comma ? (to ? Number(to) : undefined) : Number(from)];
    if (least > REPEAT_LIMIT || (most !== undefined && (most < least || most > REPEAT_LIMIT)))
      this.fail(numbers, `an order, and at most ${REPEAT_LIMIT}`);
    return { kind: "repeat", part, least, most };
  }

  /** The next part of a sequence; undefined where it ends, as before the next rule. */
  #atom(): Node | undefined {
    this.#skip();
    const start = this.#at;
    const name = this.#match(NAME);
    if (name !== undefined) {
      this.#skip();
      if (this.#text.startsWith("::=", this.#at)) {
        this.#at = start;
        return undefined;
      }
      this.#at = start + name.length;
      if (!this.used.has(name)) this.used.set(name, this.#line());
      return { kind: "rule", name };
    }
    if (this.#has('"')) return { kind: "text", text: this.#quoted() };
    if (this.#has("[")) return { kind: "class", ranges: this.#class() };
    if (this.#has("(")) {
      if (this.#has("=")) this.fail("a lookahead", "rules without one");
      const group = this.#options();
      if (!this.#has(")")) this.fail(this.#next(), ")");
      return group;
    }
    const next = this.#text[this.#at];
    if (next !== undefined && next !== "|" && (next !== ")" || this.#depth < 2))
      this.fail(this.#next(), "a part of a rule");
    return undefined;
  }

  #quoted(): string {
    let text = "";
    for (;;) {
      const plain = this.#match(/[^"\\\n]+/);
      if (plain !== undefined) text += plain;
      else if (this.#match(/"/) !== undefined) return text;
      else text += this.#escape();
    }
  }

  #escape(): string {
    if (this.#match(/\\/) === undefined) return this.fail("a text or a class without its end", "one on a line");
    const hex = this.#match(/x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}/);
    if (hex !== undefined) {
      const code = Number.parseInt(hex.slice(1), 16);
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) this.fail(`\\${hex}`, "a character");
      return String.fromCodePoint(code);
    }
    const letter = this.#match(/[^\n]/) ?? this.fail("a \\ at the end", "a character after it");
    if (Object.hasOwn(letters, letter)) return letters[letter]!;
    if (/[A-Za-z0-9]/.test(letter)) this.fail(`\\${letter}`, "an escape that is known");
    return letter;
  }

  #class(): Ranges {
    const negated = this.#match(/\^/) !== undefined;
    const ranges: (readonly [number, number])[] = [];
    const member = () => (this.#match(/[^\]\\\n]/u) ?? this.#escape()).codePointAt(0)!;
    while (this.#match(/\]/) === undefined) {
      const from = member();
      const to = this.#match(/-(?!\])/) === undefined ? from : member();
      if (to < from) this.fail("a range without an order", "one from low to high");
      ranges.push([from, to]);
    }
    return negated ? complementOf(ranges) : rangesOf(ranges);
  }
}

const NAME = /[A-Za-z_][\w.-]*/;
