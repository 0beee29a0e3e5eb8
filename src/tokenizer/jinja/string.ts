// Methods of strings.

import { capitalize, changeTabs, classify, splitLines, swapCase, titleCase } from "./case.ts";
import { formatBraces } from "./format.ts";
import { bind, Callable, isGiven, textGiven } from "./given.ts";
import { BLANK } from "./lex.ts";
import { countOf } from "./number.ts";
import { pad } from "./pad.ts";
import { boundText, checkLength, escapeHtml } from "./text.ts";
import {
  countPoints,
  type Given,
  isPlain,
  listOf,
  Markup,
  pointsOf,
  TemplateFault,
  Tuple,
  textOf,
  type Value,
} from "./value.ts";

type Method = (text: string, given: Given) => Value;

const escapeSet = (characters: string) => characters.replace(/[\\\]^-]/g, "\\$&");

/** A text without these characters at its ends; white space where none are given. */
export function strip(text: string, characters: Value | undefined, ends: "both" | "left" | "right" = "both"): string {
  const given = characters === undefined || characters === null ? undefined : textGiven(characters, "strip");
  if (given === "") return text;
  const set = new RegExp(`[${given === undefined ? BLANK : escapeSet(given)}]`, "u");
  const points = pointsOf(text);
  let start = 0;
  let end = points.length;
  if (ends !== "right") while (start < end && set.test(points[start]!)) start++;
  if (ends !== "left") while (end > start && set.test(points[end - 1]!)) end--;
  return isPlain(text) ? text.slice(start, end) : points.slice(start, end).join("");
}

const blanks = new RegExp(`[${BLANK}]+`, "g");

function split(text: string, given: Given, fromRight: boolean): string[] {
  const [separator = null, most = -1] = bind(given, fromRight ? "rsplit" : "split", "sep? maxsplit?");
  const limit = countOf(most, "split");
  const mark = separator === null ? undefined : textGiven(separator, "split");
  if (mark === "") throw new TemplateFault("split: got an empty separator, expected a text");
  if (limit < 0) return mark === undefined ? strip(text, undefined).split(blanks).filter(Boolean) : text.split(mark);
  const parts: string[] = [];
  let rest = mark === undefined ? strip(text, undefined, fromRight ? "right" : "left") : text;
  while (parts.length < limit) {
    const [at, length] = findMark(rest, mark, fromRight);
    if (at < 0) break;
    if (fromRight) parts.unshift(rest.slice(at + length));
    else parts.push(rest.slice(0, at));
    rest = fromRight ? rest.slice(0, at) : rest.slice(at + length);
  }
  if (mark !== undefined || rest) fromRight ? parts.unshift(rest) : parts.push(rest);
  return parts;
}

/** Where a separator, or white space, stands first or last, and how long it is. */
function findMark(text: string, mark: string | undefined, fromRight: boolean): [at: number, length: number] {
  if (mark !== undefined) return [fromRight ? text.lastIndexOf(mark) : text.indexOf(mark), mark.length];
  const found = [...text.matchAll(blanks)].at(fromRight ? -1 : 0);
  return found ? [found.index, found[0].length] : [-1, 0];
}

function replace(text: string, given: Given): string {
  const [old, fresh, most = -1] = bind(given, "replace", "old new count?");
  const [from, to] = [textGiven(old, "replace"), textGiven(fresh, "replace")];
  return replaceText(text, from, to, countOf(most, "replace"));
}

/** Python's str.replace; before every character and at the end where `from` is empty. All where `most` is negative. */
export function replaceText(text: string, from: string, to: string, most: number): string {
  const parts = from === "" ? ["", ...pointsOf(text), ""] : text.split(from);
  const count = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  checkLength(text.length + count * (to.length - from.length));
  return (
    parts.slice(0, count + 1).join(to) + (count + 1 < parts.length ? from + parts.slice(count + 1).join(from) : "")
  );
}

/** The part of a text between two positions, and where it begins; the whole where none are given. */
function window(text: string, start: Value | undefined, stop: Value | undefined): [readonly string[], number, boolean] {
  const points = pointsOf(text);
  const clip = (value: Value | undefined, rest: number) => {
    if (value === undefined || value === null) return rest;
    const at = countOf(value, "a position");
    return at < 0 ? Math.max(0, at + points.length) : at;
  };
  const from = clip(start, 0);
  return [points.slice(from, clip(stop, points.length)), from, from <= points.length];
}

function find(name: string, isLast: boolean, must: boolean): Method {
  return (text, given) => {
    const [part, start, stop] = bind(given, name, "sub start? end?");
    const [points, from, isInside] = window(text, start, stop);
    const own = textGiven(part, name);
    const all = points.join("");
    const at = isInside ? (isLast ? all.lastIndexOf(own) : all.indexOf(own)) : -1;
    if (at < 0 && must)
      throw new TemplateFault(`${name}: got a text without it, expected one with ${own.slice(0, 40)}`);
    return at < 0 ? -1 : from + countPoints(all.slice(0, at));
  };
}

function begins(name: string, test: (text: string, part: string) => boolean): Method {
  return (text, given) => {
    const [part, start, stop] = bind(given, name, "prefix start? end?");
    const parts = part instanceof Tuple ? part.items : [part!];
    const [points, , isInside] = window(text, start, stop);
    const all = start === undefined && stop === undefined ? text : points.join("");
    return parts.map((one) => textGiven(one, name)).some((one) => isInside && test(all, one));
  };
}

function partition(name: string, isLast: boolean): Method {
  return (text, given) => {
    const mark = textGiven(bind(given, name, "sep")[0], name);
    if (mark === "") throw new TemplateFault(`${name}: got an empty separator, expected a text`);
    const at = isLast ? text.lastIndexOf(mark) : text.indexOf(mark);
    if (at < 0) return new Tuple(isLast ? ["", "", text] : [text, "", ""]);
    return new Tuple([text.slice(0, at), mark, text.slice(at + mark.length)]);
  };
}

const justify = (name: string, align: string): Method => {
  return (text, given) => {
    const [width, fill = " "] = bind(given, name, "width fillchar?");
    const character = textGiven(fill, name);
    if (countPoints(character) !== 1)
      throw new TemplateFault(`${name}: got a fill of several characters, expected one`);
    const columns = countOf(width, name);
    // Python leaves the odd blank of a centred text on the left where its width is odd too.
    const missing = columns - countPoints(text);
    if (align === "^" && missing > 0 && missing % 2 === 1 && columns % 2 === 1)
      return pad(character + text, columns, character, "^");
    return pad(text, columns, character, align);
  };
};

const plain = (name: string, change: (text: string) => Value): [string, Method] => [
  name,
  (text, given) => {
    bind(given, name, "");
    return change(text);
  },
];

const stripping = (name: string, ends: "both" | "left" | "right"): [string, Method] => [
  name,
  (text, given) => strip(text, bind(given, name, "chars?")[0], ends),
];

const methods = new Map<string, Method>([
  plain("capitalize", capitalize),
  plain("casefold", (text) => text.toLowerCase().replaceAll("ß", "ss")),
  plain("lower", (text) => text.toLowerCase()),
  plain("swapcase", swapCase),
  plain("title", titleCase),
  plain("upper", (text) => text.toUpperCase()),
  ...Object.entries(classify).map(([name, test]) => plain(name, test)),
  stripping("strip", "both"),
  stripping("lstrip", "left"),
  stripping("rstrip", "right"),
  ["split", (text, given) => split(text, given, false)],
  ["rsplit", (text, given) => split(text, given, true)],
  ["splitlines", (text, given) => splitLines(text, isGiven(bind(given, "splitlines", "keepends?")[0]))],
  ["replace", replace],
  ["find", find("find", false, false)],
  ["rfind", find("rfind", true, false)],
  ["index", find("index", false, true)],
  ["rindex", find("rindex", true, true)],
  ["startswith", begins("startswith", (text, part) => text.startsWith(part))],
  ["endswith", begins("endswith", (text, part) => text.endsWith(part))],
  ["partition", partition("partition", false)],
  ["rpartition", partition("rpartition", true)],
  ["center", justify("center", "^")],
  ["ljust", justify("ljust", "<")],
  ["rjust", justify("rjust", ">")],
  ["zfill", (text, given) => pad(text, countOf(bind(given, "zfill", "width")[0], "zfill"), "0", "=")],
  [
    "expandtabs",
    (text, given) => changeTabs(text, countOf(bind(given, "expandtabs", "tabsize?")[0] ?? 8, "expandtabs")),
  ],
  [
    "count",
    (text, given) => {
      const [part, start, stop] = bind(given, "count", "sub start? end?");
      const [points, , isInside] = window(text, start, stop);
      const mark = textGiven(part, "count");
      if (!isInside) return 0;
      return mark === "" ? points.length + 1 : points.join("").split(mark).length - 1;
    },
  ],
  [
    "removeprefix",
    (text, given) => {
      const part = textGiven(bind(given, "removeprefix", "prefix")[0], "removeprefix");
      return text.startsWith(part) ? text.slice(part.length) : text;
    },
  ],
  [
    "removesuffix",
    (text, given) => {
      const part = textGiven(bind(given, "removesuffix", "suffix")[0], "removesuffix");
      return part && text.endsWith(part) ? text.slice(0, -part.length) : text;
    },
  ],
]);

/** Methods whose results have no place in a template, refused by their names. */
const refused = new Set(["encode", "maketrans", "translate", "format_map"]);

/** A method of a str, or of one that is marked as HTML: what it gives is marked too, and what it is given is escaped. */
export function stringMethod(value: string | Markup, name: string): Value | undefined {
  const text = textOf(value)!;
  const isHtml = value instanceof Markup;
  if (name === "format") return new Callable((given) => mark(formatBraces(text, given, isHtml), isHtml));
  if (name === "join")
    return new Callable((given) => {
      const items = listOf(bind(given, "join", "iterable")[0]!);
      const texts = items.map((item) => (isHtml ? escapeHtml(item).text : textGiven(item, "join")));
      checkLength(texts.reduce((sum, one) => sum + one.length + text.length, 0));
      return mark(texts.join(text), isHtml);
    });
  if (refused.has(name))
    return new Callable(() => {
      throw new TemplateFault(`str.${name} is not supported here; use another method`);
    });
  const method = methods.get(name);
  if (!method) return undefined;
  return new Callable((given) => {
    if (!isHtml) return method(text, given);
    const guard = (one: Value) =>
      typeof one === "string" && !/^r?(split|find|index|partition|count)/.test(name) ? escapeHtml(one) : one;
    return mark(
      method(text, {
        positional: given.positional.map(guard),
        named: new Map([...given.named].map(([key, one]) => [key, guard(one)])),
      }),
      true,
    );
  });
}

/** Marks the texts in a result as HTML. */
function mark(value: Value, isHtml: boolean): Value {
  if (!isHtml) return value;
  if (typeof value === "string") return new Markup(boundText(value));
  if (Array.isArray(value)) return value.map((item) => mark(item, true));
  return value instanceof Tuple ? new Tuple(value.items.map((item) => mark(item, true))) : value;
}
