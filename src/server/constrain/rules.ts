import type { Member } from "./schema.ts";
import { textOf } from "./set.ts";

/** Blanks between the parts of JSON: a model that likes blanks must not write them for ever. */
const BLANK = "[ \\n\\t]{0,20}";

const common: Readonly<Record<string, string>> = {
  "json-blank": BLANK,
  "json-character": `([^\\u0000-\\u001f\\u0022\\u005c] | "\\u005c" (["\\u005c/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})))`,
  "json-string": '"\\u0022" json-character* "\\u0022"',
  "json-integer": '"-"? ("0" | [1-9] [0-9]{0,19})',
  "json-number": '"-"? ("0" | [1-9] [0-9]{0,19}) ("." [0-9]{1,20})? ([eE] [-+]? [0-9]{1,2})?',
  "json-value": 'json-string | json-number | "true" | "false" | "null" | json-list | json-object',
  "json-list": '"[" json-blank (json-value (json-blank "," json-blank json-value)*)? json-blank "]"',
  "json-member": 'json-string json-blank ":" json-blank json-value',
  "json-object": '"{" json-blank (json-member (json-blank "," json-blank json-member)*)? json-blank "}"',
};

/** Rules of EBNF as they are made, and the parts of JSON in them. */
export class Rules {
  readonly #rules = new Map<string, string>();
  readonly #names = new Map<string, string>();
  #common = false;

  /** A new rule's name, told from others by a number; the first of a title is found again by it. */
  name(title: string): string {
    const name = `rule-${this.#rules.size}-${title.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(-40)}`;
    if (!this.#names.has(title)) this.#names.set(title, name);
    this.#rules.set(name, '""');
    return name;
  }

  /** The name of the first rule of a title; undefined where there is none. */
  find(title: string): string | undefined {
    return this.#names.get(title);
  }

  set(name: string, expression: string): void {
    this.#rules.set(name, expression);
  }

  #use(name: string): string {
    this.#common = true;
    return name;
  }

  json = (): string => this.#use("json-value");
  anyObject = (): string => this.#use("json-object");
  string = (): string => this.#use("json-string");
  character = (): string => this.#use("json-character");
  integer = (): string => this.#use("json-integer");
  number = (): string => this.#use("json-number");
  blank = (): string => this.#use("json-blank");

  pair(key: string, value: string): string {
    return `${key} ${this.blank()} ":" ${this.blank()} ${value}`;
  }

  /** A list of these items and then of `least` to `most` others, with commas between all. */
  list(
    first: readonly string[],
    rest: string | undefined,
    least: number,
    most: number | undefined,
    open = "[",
    close = "]",
  ): string {
    const blank = this.blank();
    const comma = `${blank} "," ${blank}`;
    const parts = [first.join(` ${comma} `)];
    if (rest !== undefined && most !== 0) {
      const more = (from: number, to: number | undefined) => `(${comma} (${rest})){${from},${to ?? ""}}`;
      if (first.length) parts.push(more(least, most));
      else {
        const one = `(${rest}) ${more(Math.max(0, least - 1), most === undefined ? undefined : most - 1)}`;
        parts.push(least ? one : `(${one})?`);
      }
    }
    return [textOf(open), blank, ...parts, blank, textOf(close)].filter(Boolean).join(" ");
  }

  /** An object of JSON of these members in order, those not required perhaps left out. */
  object(members: readonly Member[], title: string): string {
    const blank = this.blank();
    const one = ({ name, value }: Member) => this.pair(textOf(JSON.stringify(name)), value);
    return `"{" ${blank} ${this.sequence(members, one, `${blank} "," ${blank}`, title)} ${blank} "}"`;
  }

  /** Members in order, those not required perhaps left out, with something between those that are there. */
  sequence(members: readonly Member[], one: (member: Member) => string, between: string, title: string): string {
    // Rules from the last to the first: what may follow where something stands before, and where nothing does.
    let [after, begin] = ['""', '""'];
    for (const member of members.toReversed()) {
      const [next, alone] = [`${one(member)} ${after}`, begin];
      const [following, beginning] = [this.name(`${title} after`), this.name(`${title} begin`)];
      this.set(following, member.required ? `${between} ${next}` : `(${between} ${next}) | ${after}`);
      this.set(beginning, member.required ? next : `${next} | ${alone}`);
      [after, begin] = [following, beginning];
    }
    return begin;
  }

  /** All rules, the first being `root`. */
  text(root: string): string {
    const all = [["root", root], ...this.#rules, ...(this.#common ? Object.entries(common) : [])];
    return all.map(([name, expression]) => `${name} ::= ${expression}`).join("\n");
  }
}
