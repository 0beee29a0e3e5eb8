// Python's str.format.
import { attributeOf, itemOf } from "./attribute.ts";
import { formatNumber } from "./decimal.ts";
import { floatOf, intOf } from "./number.ts";
import { group, pad } from "./pad.ts";
import { boundText, checkLength, escapeHtml, formatFloat, represent, toText } from "./text.ts";
import { Float, type Given, kindOf, Markup, pointsOf, TemplateFault, textOf, Undefined, type Value } from "./value.ts";

/** Writes arguments into `{}`, `{0}`, `{name}`, with attributes, keys, `!r` and formats such as `{:>5.2f}`. */
export function formatBraces(template: string, given: Given, isHtml: boolean): string {
  let automatic = 0;
  const fill = (text: string, depth: number): string => {
    if (depth < 0) throw new TemplateFault("got a format inside a format inside a format, expected fewer");
    let written = "";
    for (let at = 0; at < text.length; at++) {
      const letter = text[at]!;
      if (letter !== "{" && letter !== "}") {
        const end = text.slice(at).search(/[{}]/);
        written += end < 0 ? text.slice(at) : text.slice(at, at + end);
        if (end < 0) break;
        at += end - 1;
      } else if (text[at + 1] === letter) {
        written += letter;
        at++;
      } else {
        if (letter === "}") throw new TemplateFault("got a single } in a format, expected two");
        const end = findEnd(text, at);
        written += writeField(text.slice(at + 1, end), depth);
        at = end;
      }
    }
    return boundText(written);
  };
  const writeField = (field: string, depth: number): string => {
    const [, path, conversion, rest] =
      /^([^!:[]*(?:\[[^\]]*\][^!:[]*)*)(?:!([a-z]))?(?::([\s\S]*))?$/.exec(field) ?? [];
    if (path === undefined)
      throw new TemplateFault(`got a format {${field.slice(0, 40)}}, expected a name or a number`);
    let value = find(path);
    if (conversion === "r") value = represent(value);
    else if (conversion === "s") value = toText(value);
    else if (conversion) throw new TemplateFault(`got !${conversion} in a format, expected !s or !r`);
    const text = formatValue(value, fill(rest ?? "", depth - 1));
    return isHtml ? escapeHtml(value instanceof Markup ? new Markup(text) : text).text : text;
  };
  const find = (path: string): Value => {
    const [, first, tail] = /^([^.[]*)([\s\S]*)$/.exec(path)!;
    const isNumber = first === "" || /^\d+$/.test(first!);
    const at = first === "" ? automatic++ : Number(first);
    let value = isNumber ? given.positional[at] : given.named.get(first!);
    if (value === undefined) throw new TemplateFault(`got no argument {${first || at}} of a format, expected one`);
    for (const [, name, key] of tail!.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
      value = name === undefined ? itemOf(value, /^\d+$/.test(key!) ? Number(key) : key!) : attributeOf(value, name);
    return value;
  };
  return fill(template, 2);
}

/** Where the field that begins at `from` has its closing brace. */
function findEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  throw new TemplateFault("got a { in a format that is not closed, expected }");
}

const pattern = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** Python's format(): a value by a specification such as `>10`, `,` or `.2f`. */
export function formatValue(value: Value, specification: string): string {
  if (value instanceof Undefined && specification) return value.fail();
  if (specification === "") return toText(value);
  const [, fill, align, sign = "-", alternate, zero, width, mark, digits, type] = pattern.exec(specification) ?? [];
  const unknown = (): never => {
    throw new TemplateFault(
      `got the format ${specification.slice(0, 40)} for a ${kindOf(value)}, expected one that fits it`,
    );
  };
  if (!pattern.test(specification)) unknown();
  const columns = Number(width ?? 0);
  checkLength(columns);
  const isText = textOf(value) !== undefined;
  let text: string;
  if (isText) {
    if ((type && type !== "s") || mark || alternate || sign !== "-" || align === "=") unknown();
    const points = pointsOf(toText(value));
    text = (digits === undefined ? points : points.slice(0, Number(digits))).join("");
  } else {
    const number = floatOf(value);
    if (number === undefined) return unknown();
    text = writeNumber(value, number, type, digits, Boolean(alternate)) ?? unknown();
    if (!text.startsWith("-") && sign !== "-") text = sign + text;
    if (mark) text = group(text, mark, /[xXob]/.test(type ?? "") ? 4 : 3);
  }
  const isZeros = zero && !align;
  return pad(text, columns, fill ?? (zero ? "0" : " "), align ?? (isZeros ? (isText ? "<" : "=") : isText ? "<" : ">"));
}

function writeNumber(
  value: Value,
  number: number,
  type: string | undefined,
  digits: string | undefined,
  alternate: boolean,
) {
  const int = intOf(value);
  if (int !== undefined && (type === undefined || /[bdoxXcn]/.test(type))) {
    if (digits !== undefined) return undefined;
    if (type === "c") return String.fromCodePoint(Number(int));
    const base = type === "b" ? 2 : type === "o" ? 8 : type === "x" || type === "X" ? 16 : 10;
    const prefix = alternate && base !== 10 ? `0${type}` : "";
    const text = int.toString(base).replace(/^-?/, (sign) => sign + prefix);
    return type === "X" ? text.toUpperCase() : text;
  }
  if (type === "%") return `${formatNumber(number * 100, "f", Number(digits ?? 6))}%`;
  if (type && /[eEfFgG]/.test(type)) return formatNumber(number, type, Number(digits ?? 6), alternate);
  if (type !== undefined || !(value instanceof Float)) return undefined;
  if (digits === undefined) return formatFloat(number);
  const text = formatNumber(number, "g", Number(digits), alternate);
  return /[.en]/.test(text) ? text : `${text}.0`;
}
