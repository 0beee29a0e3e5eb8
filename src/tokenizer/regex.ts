import { looseWord, posix, propertyOf } from "./property.ts";
import { white } from "./unicode.ts";

/** The letters that Oniguruma's `i` takes for one other, such as "ss" for a sharp s: JavaScript knows no such pairs. */
const ligatures = /ss|ff|fi|fl|st/i;

/** Why a pattern is not taken; `buildRegex` says whose it is. */
class Unknown extends Error {}

/** What is read so far of a pattern, and how the rest is to be taken. */
interface Mode {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

/** A part of a pattern in JavaScript's words; `set` if it is one character of a class. */
interface Part {
  readonly text: string;
  readonly set: boolean;
}

const escapes: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7, e: 27 };
const literal = (code: number) => `\\u{${code.toString(16)}}`;
const negative = (set: string) => `[^${set}]`;

/** Reads a pattern of Oniguruma (its own syntax, UTF-8), as the Rust tokenizers use it, and writes JavaScript's for the `v` flag. */
class Translation {
  readonly #source: string;
  #at = 0;
  #groups = 0;
  /** Letters in a row where case is ignored, for `ligatures`. */
  #letters = "";

  constructor(source: string) {
    this.#source = source;
  }

  translate(): string {
    const text = this.#alternatives({ ignoreCase: false, dotAll: false });
    if (this.#at < this.#source.length) throw new Unknown("a parenthesis too many");
    return text;
  }

  #fail(what: string): never {
    throw new Unknown(`${what} at ${this.#at}`);
  }

  #takes(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source) ?? undefined;
    if (found) this.#at += found[0].length;
    return found;
  }

  /** A character, which may be two code units; the code point. */
  #character(): number {
    const code = this.#source.codePointAt(this.#at);
    if (code === undefined) this.#fail("an end too early");
    this.#at += code > 0xffff ? 2 : 1;
    return code;
  }

  #alternatives(mode: Mode): string {
    let text = "";
    this.#letters = "";
    for (;;) {
      if (this.#at >= this.#source.length || this.#source[this.#at] === ")") return text;
      if (this.#takes("|")) {
        this.#letters = "";
        text += "|";
      } else {
        const rest = this.#match(/\(\?([im]*)(?:-([im]+))?\)/y);
        // Letters for the rest of a group: they hold for its other alternatives too.
        if (rest) text += `(?:${this.#alternatives(this.#switch(mode, rest[1]!, rest[2]))})`;
        else text += this.#quantified(mode);
      }
    }
  }

  #switch(mode: Mode, on: string, off = ""): Mode {
    const now = (letter: string, before: boolean) => (off.includes(letter) ? false : on.includes(letter) || before);
    return { ignoreCase: now("i", mode.ignoreCase), dotAll: now("m", mode.dotAll) };
  }

  #quantified(mode: Mode): string {
    const before = this.#letters;
    let part: Part = this.#atom(mode);
    // Only letters side by side can be one letter's.
    if (this.#letters === before) this.#letters = "";
    for (;;) {
      const found = this.#match(/([*+?])([?+]?)|\{(\d*)(,?)(\d*)\}(\??)/y);
      if (!found) return part.text;
      const [, sign, suffix, least = "", comma, most = "", lazy] = found;
      if (sign !== undefined) part = { text: this.#repeat(part, sign, suffix!), set: false };
      else if (!least && !most) {
        this.#at -= found[0].length;
        return part.text;
      } else {
        if (most && Number(least || 0) > Number(most)) this.#fail("an interval whose end is before its beginning");
        const counted = `(?:${part.text}){${least || 0}${comma}${most}}`;
        // Only an interval with a comma can be lazy; a sign after another repeats once more.
        part = { text: comma ? `${counted}${lazy}` : lazy ? `(?:${counted})?` : counted, set: false };
      }
    }
  }

  #repeat(part: Part, sign: string, suffix: string): string {
    const { text, set } = part;
    if (suffix !== "+") return `(?:${text})${sign}${suffix}`;
    // What a possessive repetition of a class has taken ends where the class does.
    if (set) return sign === "?" ? `(?:${text}|(?!${text}))` : `(?:${text}${sign}(?!${text}))`;
    return this.#atomic(`(?:${text})${sign}`);
  }

  /** What has matched is not tried otherwise: a look ahead, and what it saw. */
  #atomic(text: string): string {
    const name = `g${this.#groups++}`;
    return `(?:(?=(?<${name}>${text}))\\k<${name}>)`;
  }

  #atom(mode: Mode): Part {
    if (this.#takes("[")) return { text: this.#class(mode), set: true };
    if (this.#takes("(")) return { text: this.#group(mode), set: false };
    if (this.#takes(".")) return { text: mode.dotAll ? "[^]" : "[^\\n]", set: true };
    // A line begins after a line feed, but not where the text ends, and ends before one.
    if (this.#takes("^")) return { text: "(?:(?<![^])|(?<=\\n)(?=[^]))", set: false };
    if (this.#takes("$")) return { text: "(?![^\\n])", set: false };
    if (this.#takes("\\")) return this.#escape(mode);
    const code = this.#character();
    if ("*+?".includes(String.fromCodePoint(code))) this.#fail("a repetition of nothing");
    return this.#literal(code, mode);
  }

  #literal(code: number, mode: Mode): Part {
    if (!mode.ignoreCase) return { text: literal(code), set: true };
    if (code > 0x7f) this.#fail("a letter beyond ASCII whose case is ignored");
    this.#letters += String.fromCodePoint(code);
    if (ligatures.test(this.#letters)) this.#fail(`${JSON.stringify(this.#letters)} whose case is ignored`);
    return { text: `(?i:${literal(code)})`, set: false };
  }

  #group(mode: Mode): string {
    const look = this.#match(/\?(?:=|!|<=|<!)/y);
    let inner = mode;
    let kind = "?:";
    const flags = look ? undefined : this.#match(/\?([im]*)(?:-([im]+))?:/y);
    const comment = this.#match(/\?#[^)]*/y);
    if (look) kind = look[0];
    else if (flags) inner = this.#switch(mode, flags[1]!, flags[2]);
    else if (this.#takes("?>")) kind = ">";
    else if (!comment && !this.#match(/\?<[A-Za-z_]\w*>/y) && this.#source[this.#at] === "?")
      this.#fail(`the group ${this.#source.slice(this.#at - 1, this.#at + 4)}`);
    const text = comment ? "" : this.#alternatives(inner);
    if (!this.#takes(")")) this.#fail("a parenthesis too few");
    this.#letters = "";
    return kind === ">" ? this.#atomic(text) : `(${kind}${text})`;
  }

  /** After a backslash, outside of brackets. */
  #escape(mode: Mode): Part {
    const assertions: Readonly<Record<string, string>> = {
      A: "(?<![^])",
      z: "(?![^])",
      Z: "(?=\\n?(?![^]))",
      b: `(?:(?<=${looseWord})(?!${looseWord})|(?<!${looseWord})(?=${looseWord}))`,
      B: `(?:(?<=${looseWord})(?=${looseWord})|(?<!${looseWord})(?!${looseWord}))`,
    };
    const letter = this.#source[this.#at] ?? "";
    if (Object.hasOwn(assertions, letter)) {
      this.#at++;
      return { text: assertions[letter]!, set: false };
    }
    if (letter === "w" || letter === "W") {
      this.#at++;
      return { text: letter === "w" ? looseWord : negative(looseWord), set: true };
    }
    const set = this.#set(mode);
    return set === undefined ? this.#literal(this.#code(), mode) : { text: set, set: true };
  }

  /** After a backslash: a class, if it is one. */
  #set(mode: Mode): string | undefined {
    const short: Readonly<Record<string, string>> = { s: white, d: posix.digit!, h: posix.xdigit!, w: posix.word! };
    const letter = this.#source[this.#at] ?? "";
    const lower = letter.toLowerCase();
    let set: string | undefined;
    if (Object.hasOwn(short, lower)) {
      this.#at++;
      set = letter === lower ? short[lower] : negative(short[lower]!);
    } else if (lower === "p") {
      const found = this.#match(/[pP]\{(\^?)([^}]*)\}/y);
      const known = found && propertyOf(found[2]!);
      if (!found || !known) this.#fail(`the property ${found?.[2] ?? ""}`);
      set = (letter === "P") !== (found[1] === "^") ? negative(known) : known;
    }
    if (set && mode.ignoreCase && lower !== "s" && lower !== "d") this.#fail("a class whose case is ignored");
    return set;
  }

  /** After a backslash: one character. */
  #code(): number {
    const hex = this.#match(/x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})/y);
    if (hex) {
      const code = Number.parseInt((hex[1] ?? hex[2] ?? hex[3])!, 16);
      if (code > 0x10ffff || (hex[2] && code > 0x7f)) this.#fail("a code that is no character");
      return code;
    }
    const letter = this.#source[this.#at] ?? "";
    if (Object.hasOwn(escapes, letter)) {
      this.#at++;
      return escapes[letter]!;
    }
    if (/[A-Za-z0-9]/.test(letter)) this.#fail(`\\${letter}`);
    return this.#character();
  }

  /** After a bracket. */
  #class(mode: Mode): string {
    const sign = this.#takes("^") ? "^" : "";
    if (this.#source[this.#at] === "]") this.#fail("a class that begins with ]");
    const parts: string[] = [];
    let items = "";
    while (!this.#takes("]")) {
      if (this.#takes("&&")) {
        parts.push(`[${items}]`);
        items = "";
      } else items += this.#item(mode);
    }
    if (mode.ignoreCase && (sign || parts.length || /[^\0-\x7f]|\\u\{[^}]{3,}\}|\\p/.test(items)))
      this.#fail("a class whose case is ignored");
    const text = parts.length ? `[${sign}${[...parts, `[${items}]`].join("&&")}]` : `[${sign}${items}]`;
    return mode.ignoreCase ? `(?i:${text})` : text;
  }

  /** A character, a range or a class within brackets. */
  #item(mode: Mode): string {
    const named = this.#match(/\[:(\^?)([a-z]+):\]/y);
    if (named) {
      const set = Object.hasOwn(posix, named[2]!) ? posix[named[2]!]! : this.#fail(`the class ${named[0]}`);
      return named[1] ? negative(set) : set;
    }
    if (this.#takes("[")) return this.#class(mode);
    const escaped = this.#takes("\\");
    const set = escaped ? this.#set(mode) : undefined;
    if (set !== undefined) {
      if (this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]") this.#fail("a range from a class");
      return set;
    }
    const backspace = escaped && this.#takes("b");
    const from = backspace ? 8 : escaped ? this.#code() : this.#character();
    if (this.#source[this.#at] !== "-" || this.#source[this.#at + 1] === "]") return literal(from);
    this.#at++;
    if (this.#source[this.#at] === "[") this.#fail("a range to a class");
    const to = this.#takes("\\") ? this.#code() : this.#character();
    if (to < from) this.#fail("a range whose end is before its beginning");
    return `${literal(from)}-${literal(to)}`;
  }
}

/**
 * A pattern of Oniguruma 6.9.10 as a global regular expression that finds the same, or what in it has no equal. Characters are
 * those of Unicode 16 (see unicode.ts).
 */
export function translateRegex(source: string): { readonly regex: RegExp } | { readonly unknown: string } {
  try {
    return { regex: new RegExp(new Translation(source).translate(), "gv") };
  } catch (error) {
    if (!(error instanceof Unknown || error instanceof SyntaxError || error instanceof RangeError)) throw error;
    return { unknown: error.message };
  }
}

/** A global regular expression that finds a text as it stands. */
export const literalRegex = (text: string): RegExp =>
  new RegExp(Array.from(text, (character) => literal(character.codePointAt(0)!)).join(""), "gv");
