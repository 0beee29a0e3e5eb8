// Filters of texts, numbers and single values.
import { onlyAttribute } from "./attribute.ts";
import { capitalize, splitLines } from "./case.ts";
import type { Filter } from "./filters.ts";
import { bind, isGiven, textGiven } from "./given.ts";
import { type JsonStyle, writeJson } from "./json.ts";
import { calculate, countOf, floatOf, intOf, negate, roundHalfEven, shrink, truncate } from "./number.ts";
import { operate } from "./operate.ts";
import { pad } from "./pad.ts";
import { formatPercent } from "./percent.ts";
import { replaceText, strip } from "./string.ts";
import { boundText, checkLength, escapeHtml, toText } from "./text.ts";
import {
  Dict,
  Float,
  type Given,
  isTrue,
  itemsOf,
  kindOf,
  Markup,
  pointsOf,
  sizeOf,
  TemplateFault,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

/** A filter of a text: what it makes of one that is marked as HTML is marked too. */
const ofText = (
  name: string,
  parameters: string,
  change: (text: string, given: (Value | undefined)[]) => string,
): Filter => {
  return (value, given) => {
    const text = boundText(change(toText(value), bind(given, name, parameters)));
    return value instanceof Markup ? new Markup(text) : text;
  };
};

/** The text of a str; other values have none here. */
function mustText(value: Value, name: string): string {
  if (value instanceof Undefined) return value.fail();
  return textGiven(value, name);
}

function indent(value: Value, given: Given): Value {
  const [width = 4, first, blank] = bind(given, "indent", "width? first? blank?");
  const text = mustText(value, "indent");
  const own = textOf(width) ?? pad("", countOf(width, "indent"), " ", "<");
  const lines = splitLines(`${text}\n`, false);
  checkLength(text.length + lines.length * own.length);
  const [head = "", ...rest] = lines;
  const join = isGiven(blank)
    ? lines.join(`\n${own}`)
    : [head, ...rest.map((line) => (line ? own + line : line))].join("\n");
  const written = isGiven(first) ? own + join : join;
  return value instanceof Markup ? new Markup(written) : written;
}

/** Python's int() of a text; undefined for what is none. */
function readInt(text: string, base: number): Value | undefined {
  const word = strip(text, undefined).replace(/(?<=[\da-z])_(?=[\da-z])/gi, "");
  const [, sign, digits] = /^([-+]?)([\da-z]+)$/i.exec(word) ?? [];
  if (digits === undefined || digits.length > 4300) return undefined;
  const prefix = base === 16 ? /^0x/i : base === 8 ? /^0o/i : base === 2 ? /^0b/i : /^$/;
  let total = 0n;
  const bare = digits.replace(prefix, "");
  if (!bare) return undefined;
  for (const digit of bare) {
    const number = Number.parseInt(digit, 36);
    if (number >= base) return undefined;
    total = total * BigInt(base) + BigInt(number);
  }
  return shrink(sign === "-" ? -total : total);
}

/** Python's float() of a text; undefined for what is none. */
function readFloat(text: string): number | undefined {
  const word = strip(text, undefined).replace(/(?<=\d)_(?=\d)/g, "");
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(word)) return Number(word);
  const [, sign, name] = /^([-+]?)(inf|infinity|nan)$/i.exec(word) ?? [];
  if (!name) return undefined;
  return /nan/i.test(name) ? Number.NaN : sign === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function toInt(value: Value, given: Given): Value {
  const [other = 0, base = 10] = bind(given, "int", "default? base?");
  if (value instanceof Undefined) return value.fail();
  const text = textOf(value);
  const int = text === undefined ? intOf(value) : readInt(text, countOf(base, "int"));
  if (int !== undefined) return int;
  const float = text === undefined ? floatOf(value) : readFloat(text);
  if (float === undefined || Number.isNaN(float)) return other;
  if (!Number.isFinite(float) && text === undefined) return truncate(float);
  return Number.isFinite(float) ? truncate(float) : other;
}

function round(value: Value, given: Given): Value {
  const [precision = 0, method = "common"] = bind(given, "round", "precision? method?");
  if (value instanceof Undefined) return value.fail();
  const number = floatOf(value);
  if (number === undefined) throw new TemplateFault(`round: got a ${kindOf(value)}, expected a number`);
  const digits = countOf(precision, "round");
  if (method === "common") {
    const int = intOf(value);
    if (int !== undefined && digits >= 0) return int;
    const rounded = roundHalfEven(number, digits);
    return int === undefined ? new Float(rounded) : truncate(rounded);
  }
  if (method !== "ceil" && method !== "floor")
    throw new TemplateFault("round: got another method, expected common, ceil or floor");
  const unit = calculate("**", 10, digits)!;
  const scaled = floatOf(operate("*", value, unit))!;
  return operate("/", truncate(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled)), unit);
}

function truncateText(value: Value, given: Given): Value {
  const [length = 255, killWords, end = "...", leeway = 5] = bind(given, "truncate", "length? killwords? end? leeway?");
  const size = sizeOf(value);
  if (size === undefined) throw new TemplateFault(`truncate: got a ${kindOf(value)}, expected a string`);
  const tail = textGiven(end, "truncate");
  const most = countOf(length, "truncate");
  const room = most - sizeOf(tail)!;
  if (room < 0) throw new TemplateFault(`truncate: got a length of ${most}, expected at least that of its end`);
  if (size <= most + countOf(leeway ?? 5, "truncate")) return value;
  const kept = pointsOf(mustText(value, "truncate")).slice(0, room).join("");
  const at = kept.lastIndexOf(" ");
  return (isGiven(killWords) || at < 0 ? kept : kept.slice(0, at)) + tail;
}

/** How `tojson` is to write, as transformers lets a template say it. */
function styleOf(given: Given): JsonStyle {
  const [ascii, indent, separators, sorted] = bind(given, "tojson", "ensure_ascii? indent? separators? sort_keys?");
  const blanks =
    textOf(indent) ??
    (indent === undefined || indent === null ? undefined : pad("", countOf(indent, "tojson"), " ", "<"));
  const marks = separators === undefined || separators === null ? undefined : itemsOf(separators);
  if (separators && marks?.length !== 2) throw new TemplateFault("tojson: got other separators, expected two texts");
  return {
    indent: blanks,
    itemEnd: marks ? textGiven(marks[0], "tojson") : blanks === undefined ? ", " : ",",
    keyEnd: marks ? textGiven(marks[1], "tojson") : ": ",
    ascii: isGiven(ascii),
    sorted: isGiven(sorted),
  };
}

function format(value: Value, { positional, named }: Given): Value {
  if (positional.length && named.size)
    throw new TemplateFault("format: got positional and named arguments, expected one kind");
  const text = formatPercent(
    toText(value),
    named.size ? Dict.of(named) : new Tuple(positional),
    value instanceof Markup,
  );
  return value instanceof Markup ? new Markup(text) : text;
}

function quoteUrl(value: Value, isQuery: boolean): string {
  const text = encodeURIComponent(toText(value)).replace(
    /[!'()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return isQuery ? text.replaceAll("%20", "+") : text.replaceAll("%2F", "/");
}

function encodeUrl(value: Value, given: Given): Value {
  bind(given, "urlencode", "");
  const items =
    value instanceof Dict
      ? value.pairs()
      : textOf(value) === undefined
        ? itemsOf(value)?.map((pair) => itemsOf(pair) ?? [])
        : undefined;
  if (!items) return quoteUrl(value, false);
  return items.map(([key = "", item = ""]) => `${quoteUrl(key, true)}=${quoteUrl(item, true)}`).join("&");
}

function useDefault(value: Value, given: Given): Value {
  const [other = "", isBroad] = bind(given, "default", "default_value? boolean?");
  return value instanceof Undefined || (isGiven(isBroad) && !isTrue(value)) ? other : value;
}

/** The first letter of each word large, all others small. */
const titleWords = (text: string) =>
  text
    .split(/([-\s({[<]+)/)
    .map((word) => {
      const [first = "", ...rest] = pointsOf(word);
      return first.toUpperCase() + rest.join("").toLowerCase();
    })
    .join("");

const escapeFilter: Filter = (value, given) => {
  bind(given, "escape", "");
  return escapeHtml(value);
};

export const textFilters: Readonly<Record<string, Filter>> = {
  abs(value, given) {
    bind(given, "abs", "");
    if (value instanceof Undefined) return value.fail();
    const number = floatOf(value);
    if (number === undefined) throw new TemplateFault(`abs: got a ${kindOf(value)}, expected a number`);
    return number < 0 || Object.is(number, -0) ? negate(value) : typeof value === "boolean" ? Number(value) : value;
  },
  attr: (value, given) => onlyAttribute(value, textGiven(bind(given, "attr", "name")[0], "attr")),
  capitalize: ofText("capitalize", "", capitalize),
  center: ofText("center", "width?", (text, [width = 80]) => {
    const columns = countOf(width, "center");
    const missing = columns - sizeOf(text)!;
    return missing > 0 && missing % 2 === 1 && columns % 2 === 1
      ? pad(` ${text}`, columns, " ", "^")
      : pad(text, columns, " ", "^");
  }),
  d: useDefault,
  default: useDefault,
  e: escapeFilter,
  escape: escapeFilter,
  float(value, given) {
    const [other = new Float(0)] = bind(given, "float", "default?");
    if (value instanceof Undefined) return value.fail();
    const text = textOf(value);
    const number = text === undefined ? floatOf(value) : readFloat(text);
    return number === undefined ? other : new Float(number);
  },
  forceescape: (value) => escapeHtml(toText(value)),
  format,
  indent,
  int: toInt,
  lower: ofText("lower", "", (text) => text.toLowerCase()),
  replace(value, given) {
    const [old, fresh, most = null] = bind(given, "replace", "old new count?");
    return replaceText(toText(value), toText(old!), toText(fresh!), most === null ? -1 : countOf(most, "replace"));
  },
  round,
  safe: (value) => new Markup(toText(value)),
  string: (value) => (value instanceof Markup ? value : toText(value)),
  title: ofText("title", "", titleWords),
  tojson: (value, given) => writeJson(value, styleOf(given)),
  trim: ofText("trim", "chars?", (text, [characters]) => strip(text, characters)),
  truncate: truncateText,
  upper: ofText("upper", "", (text) => text.toUpperCase()),
  urlencode: encodeUrl,
  wordcount: (value) => [...toText(value).matchAll(/[\p{L}\p{N}_]+/gu)].length,
};
