import { TemplateFault } from "./value.ts";

/** A piece of a template: literal text (`data`), a bracket of a tag, or a word inside one. */
export interface Token {
  readonly type:
    | "data"
    | "variable_begin"
    | "variable_end"
    | "block_begin"
    | "block_end"
    | "name"
    | "string"
    | "integer"
    | "float"
    | "operator"
    | "end";
  readonly value: string;
  readonly line: number;
}

/** Python's white space, of which JavaScript's own class differs. */
export const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const blanks = new RegExp(`[${BLANK}]+`, "y");
const allBlank = new RegExp(`^[${BLANK}]+$`);
const float = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const name = /[\p{L}\p{M}\p{N}\p{Pc}]+/uy;
const identifier = /^[\p{ID_Start}_][\p{ID_Continue}]*$/u;
const string = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y;
const raw = new RegExp(`\\{%[-+]?[${BLANK}]*raw[${BLANK}]*(?:-%\\}[${BLANK}]*|%\\})`, "y");
const rawEnd = new RegExp(`\\{%([-+]?)[${BLANK}]*endraw[${BLANK}]*(?:\\+%\\}|-%\\}[${BLANK}]*|%\\}\\n?)`, "g");
const commentEnd = new RegExp(`\\+#\\}|-#\\}[${BLANK}]*|#\\}\\n?`, "g");
const blockEnd = new RegExp(`\\+%\\}|-%\\}[${BLANK}]*|%\\}\\n?`, "y");
const variableEnd = new RegExp(`-\\}\\}[${BLANK}]*|\\}\\}`, "y");
const opening = new Map([
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
]);

/** Removes blanks that end a text, as `{%-` asks; in time proportional to them. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && allBlank.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/**
 * Cuts a template into tokens as Jinja2 3.1 does with trim_blocks and lstrip_blocks: the line end after a block's tag is dropped, and
 * blanks before one that begins a line; a `-` drops all white space, a `+` none. The last line end of the template is dropped.
 *
 * Errors: TemplateFault with the line for what is no template.
 */
export function cutTemplate(source: string): Token[] {
  const text = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineBegins = true;
  const fail = (message: string): never => {
    throw new TemplateFault(`line ${line}: ${message}`);
  };
  const add = (type: Token["type"], value: string) => tokens.push({ type, value, line });
  /** Moves on to `end`, counting lines. */
  const pass = (end: number) => {
    for (let next = text.indexOf("\n", at); next >= 0 && next < end; next = text.indexOf("\n", next + 1)) line++;
    lineBegins = end > at ? text[end - 1] === "\n" : lineBegins;
    at = end;
  };
  const match = (pattern: RegExp, from = at) => {
    pattern.lastIndex = from;
    return pattern.exec(text);
  };
  /** Adds literal text that ends where a tag begins. */
  const addData = (data: string, sign: string, isVariable: boolean) => {
    let kept = data;
    if (sign === "-") kept = trimEnd(data);
    else if (sign !== "+" && !isVariable) {
      const start = data.lastIndexOf("\n") + 1;
      if ((start > 0 || lineBegins) && allBlank.test(data.slice(start))) kept = data.slice(0, start);
    }
    if (kept) add("data", kept);
  };

  while (at < text.length) {
    const begin = findTag(text, at);
    if (begin < 0) {
      add("data", text.slice(at));
      break;
    }
    const kind = text[begin + 1]!;
    const sign = /[-+]/.test(text[begin + 2] ?? "") ? text[begin + 2]! : "";
    addData(text.slice(at, begin), sign, kind === "{");
    const verbatim = kind === "%" ? match(raw, begin) : null;
    if (verbatim) {
      pass(begin + verbatim[0].length);
      const end = match(rawEnd) ?? fail("got no {% endraw %}, expected one");
      addData(text.slice(at, end.index), end[1]!, false);
      pass(end.index + end[0].length);
      continue;
    }
    pass(begin + 2 + sign.length);
    if (kind === "#") {
      const end = match(commentEnd) ?? fail("got a comment without its end, expected #}");
      pass(end.index + end[0].length);
      continue;
    }
    readTag(kind === "{");
  }
  add("end", "");
  return tokens;

  function readTag(isVariable: boolean) {
    add(isVariable ? "variable_begin" : "block_begin", "");
    const open: string[] = [];
    for (;;) {
      const end = open.length ? null : match(isVariable ? variableEnd : blockEnd);
      if (end) {
        add(isVariable ? "variable_end" : "block_end", "");
        pass(at + end[0].length);
        return;
      }
      if (at >= text.length) fail("got the template's end inside a tag, expected its end first");
      const [type, word] = readWord();
      if (type === "operator") {
        const close = opening.get(word);
        if (close) open.push(close);
        else if (/[)\]}]/.test(word) && open.pop() !== word) fail(`got ${word}, expected what it closes`);
      }
      if (type) add(type, word);
      pass(at + word.length);
    }
  }

  function readWord(): [Token["type"] | undefined, string] {
    const blank = match(blanks);
    if (blank) return [undefined, blank[0]];
    for (const [type, pattern] of words) {
      const found = match(pattern);
      if (!found) continue;
      if (type === "name" && !identifier.test(found[0])) fail(`got ${found[0].slice(0, 40)}, expected a name`);
      return [type, found[0]];
    }
    return fail(`got ${JSON.stringify(text[at])}, expected a word of an expression`);
  }
}

const words = [
  ["float", float],
  ["integer", integer],
  ["name", name],
  ["string", string],
  ["operator", operator],
] as const;

/** Where the next tag or comment begins; -1 for nowhere. */
function findTag(text: string, from: number): number {
  for (let at = text.indexOf("{", from); at >= 0; at = text.indexOf("{", at + 1))
    if (/[{%#]/.test(text[at + 1] ?? "")) return at;
  return -1;
}

const escapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** The text that a quoted string stands for, by Python's escapes; a backslash before another letter stays. */
export function readString(quoted: string, line: number): string {
  return quoted
    .slice(1, -1)
    .replace(/\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g, (all, ...parts) => {
      const [octal, x, u, long, letter] = parts as (string | undefined)[];
      const hex = x ?? u ?? long;
      if (octal || hex) {
        const code = octal ? Number.parseInt(octal, 8) : Number.parseInt(hex!, 16);
        if (code > 0x10ffff) throw new TemplateFault(`line ${line}: got ${all}, expected a character`);
        return String.fromCodePoint(code);
      }
      if (letter && /[xuUN]/.test(letter)) throw new TemplateFault(`line ${line}: got ${all}, expected a whole escape`);
      return Object.hasOwn(escapes, letter!) ? escapes[letter!]! : all;
    });
}
