// JSON as Python's json module writes and reads it.
import { compareValues } from "./operate.ts";
import { boundText, formatFloat } from "./text.ts";
import { Dict, Float, itemsOf, kindOf, TemplateFault, textOf, type Value } from "./value.ts";

export interface JsonStyle {
  /** Blanks of each level; undefined for one line. */
  readonly indent: string | undefined;
  readonly itemEnd: string;
  readonly keyEnd: string;
  readonly ascii: boolean;
  readonly sorted: boolean;
}

/** Writes a value as json.dumps does: blanks behind commas and colons, floats that stay floats, keys as they came. */
export function writeJson(value: Value, style: JsonStyle): string {
  return boundText(write(value, style, "\n"));
}

function write(value: Value, style: JsonStyle, line: string): string {
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "number" || typeof value === "bigint") return String(value);
  if (value instanceof Float) return writeFloat(value.value);
  const text = textOf(value);
  if (text !== undefined) return writeText(text, style.ascii);
  const next = style.indent === undefined ? line : line + style.indent;
  const items = itemsOf(value);
  if (items)
    return wrap(
      "[",
      items.map((item) => write(item, style, next)),
      "]",
      style,
      line,
      next,
    );
  if (!(value instanceof Dict))
    throw new TemplateFault(`tojson: got a value of type ${kindOf(value)}, expected what JSON has`);
  const pairs = value.pairs();
  if (style.sorted) pairs.sort(([a], [b]) => compareValues(a, b));
  const parts = pairs.map(
    ([key, item]) => `${writeText(keyOf(key), style.ascii)}${style.keyEnd}${write(item, style, next)}`,
  );
  return wrap("{", parts, "}", style, line, next);
}

function wrap(open: string, parts: string[], close: string, style: JsonStyle, line: string, next: string): string {
  if (!parts.length) return open + close;
  if (style.indent === undefined) return boundText(open + parts.join(style.itemEnd) + close);
  return boundText(open + next + parts.join(style.itemEnd + next) + line + close);
}

const writeFloat = (value: number) =>
  Number.isNaN(value) ? "NaN" : Number.isFinite(value) ? formatFloat(value) : value < 0 ? "-Infinity" : "Infinity";

function keyOf(key: Value): string {
  const text = textOf(key);
  if (text !== undefined) return text;
  if (key === null || typeof key !== "object") return String(key);
  if (key instanceof Float) return writeFloat(key.value);
  throw new TemplateFault(`tojson: got a key of type ${kindOf(key)}, expected a string`);
}

const short = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\b", "\\b"],
  ["\f", "\\f"],
]);

function writeText(text: string, ascii: boolean): string {
  const change = (unit: string) => short.get(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
  return `"${text.replace(ascii ? /["\\]|[^\x20-\x7e]/g : /["\\\x00-\x1f]/g, change)}"`;
}
