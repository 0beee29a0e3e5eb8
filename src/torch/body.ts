/** A function's body: what a page holds, in lines with names, as few as can be read. */
import type { Keep } from "./scribe.ts";
import { type Value, wordOf } from "./value.ts";

/** Letters of a line of Python, its indent included. */
const WIDTH = 112;
const INDENT = "        ";

/**
 * A method that gives a value, or a dict of values under their names. Of what the page has, lines are written for what is given, what
 * that needs and what is kept; arguments that nothing needs are left out.
 */
export function writeBody(
  name: string,
  about: string,
  args: readonly string[],
  page: readonly (Value | Keep)[],
  results: Value | Readonly<Record<string, Value>>,
): string {
  const writer = new Writer(args);
  const single = isValue(results) ? results : undefined;
  const wanted = isValue(results) ? {} : results;
  const roots = single ? [single] : Object.values(wanted);
  for (const [own, value] of Object.entries(wanted)) writer.wish(value, own);
  for (const root of roots) writer.count(root);
  for (const item of page) if ("entry" in item) writer.count(item.value);
  for (const item of page)
    if (!("entry" in item) && item.also && !writer.uses.has(item)) for (const arg of item.args) writer.count(arg);
  for (const [i, item] of page.entries()) {
    if ("entry" in item) writer.keep(item, page.slice(0, i));
    else if (writer.stands(item)) writer.line(item);
  }
  if (single) writer.lines.push(`return ${writer.text(single)}`);
  else
    writer.lines.push(
      `return dict(${Object.entries(wanted)
        .map(([own, value]) => `${own}=${writer.text(value)}`)
        .join(", ")})`,
    );
  const text = writer.lines.map((line) => `${INDENT}${line}\n`).join("");
  const bare = text.replaceAll(/"[^"]*"/g, "");
  const used = [...args, "at", "state"].filter((arg) => new RegExp(`(?<![.\\w])${arg}(?![\\w=])`).test(bare));
  const like = /\blike\)/.test(text) ? (used[0] ?? "x") : undefined;
  const filled = like ? text.replaceAll(/\blike\)/g, `${like})`) : text;
  return `    def ${name}(self, ${[...used, "**_"].join(", ")}):\n${INDENT}"""${about}"""\n${filled}`;
}

const isValue = (x: Value | Readonly<Record<string, Value>>): x is Value => typeof (x as Value).write === "function";

class Writer {
  readonly lines: string[] = [];
  readonly uses = new Map<Value, number>();
  readonly #names = new Map<Value, string>();
  readonly #wishes = new Map<Value, string>();
  readonly #taken: Set<string>;

  constructor(args: readonly string[]) {
    this.#taken = new Set([...args, "at", "state", "x"]);
  }

  /** The name that a value has to have. */
  wish(value: Value, name: string): void {
    this.#wishes.set(value, name);
  }

  count(value: Value): void {
    const known = this.uses.get(value) ?? 0;
    this.uses.set(value, known + 1);
    if (known === 0) for (const arg of value.args) this.count(arg);
  }

  /** Whether a value has a line of its own. */
  stands(value: Value): boolean {
    if (value.also) return true;
    const uses = this.uses.get(value) ?? 0;
    if (uses === 0 || value.kind === "name" || this.#names.has(value)) return false;
    return value.kind === "line" || uses > 1 || this.#wishes.has(value);
  }

  line(value: Value): void {
    for (const arg of value.args) if (!this.#names.has(arg)) this.#spell(arg, value);
    const name = this.#nameOf(value);
    const spelled = () => value.write(value.args.map((arg) => this.text(arg)));
    const far = (text: string) => INDENT.length + name.length + (value.also?.length ?? 0) + 5 + text.length > WIDTH;
    // The longest argument gets a line of its own, until the rest fits.
    const open = value.args.filter((arg) => !this.#names.has(arg) && arg.kind !== "name" && this.text(arg).length > 20);
    open.sort((a, b) => this.text(b).length - this.text(a).length);
    while (open.length && far(spelled())) this.line(open.shift()!);
    const text = spelled();
    this.#names.set(value, name);
    this.lines.push(`${value.also ? `${name}, ${value.also}` : name} = ${text}`);
  }

  /** What reads the entry as it was has to stand before. */
  keep({ entry, value }: Keep, before: readonly (Value | Keep)[]): void {
    for (const item of before)
      if (
        "args" in item &&
        this.uses.has(item) &&
        !this.#names.has(item) &&
        item.args.some((arg) => wordOf(arg) === entry)
      )
        this.line(item);
    this.lines.push(`${entry} = ${this.text(value)}`);
  }

  /** A value in the place of an argument or of a result: its name, or its text where it has none. */
  text(value: Value): string {
    const name = this.#names.get(value);
    if (name) return name;
    for (const arg of value.args) this.#spell(arg, value);
    return value.write(value.args.map((arg) => this.text(arg)));
  }

  /** Gives an argument a line where it would make its user hard to read. */
  #spell(arg: Value, user: Value): void {
    if (this.#names.has(arg) || arg.kind === "name") return;
    if (arg.numbers) {
      if (this.uses.get(arg)! > 1) this.line(arg);
      return;
    }
    const text = this.text(arg);
    const heavy = user.kind !== "wrap" && /einsum|attend|rms_norm|rope/.test(text);
    if (heavy || text.length > WIDTH - 30) this.line(arg);
  }

  #nameOf(value: Value): string {
    const wish = this.#wishes.get(value);
    const free = wish ?? value.hint ?? "y";
    let name = free;
    for (let i = 2; !wish && this.#taken.has(name); i++) name = `${free}${i}`;
    this.#taken.add(name);
    return name;
  }
}
