// How Python writes values: str() and repr().
import { Dict, Float, kindOf, Markup, TemplateFault, Thing, Tuple, Undefined, type Value } from "./value.ts";

/** Most characters of a text that a template makes. */
export const TEXT_LIMIT = 16_000_000;

/** A text that is not too long. */
export function boundText(text: string): string {
  checkLength(text.length);
  return text;
}

/** Throws TemplateFault for a text of more UTF-16 units than a template may write. */
export function checkLength(length: number): void {
  if (length > TEXT_LIMIT) throw new TemplateFault(`${length} characters, more than ${TEXT_LIMIT}`);
}

/** A float as Python's repr: the fewest digits that tell it from others, with an exponent below 1e-4 and from 1e16 on. */
export function formatFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [digits, power] = value.toExponential().split("e") as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16)
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  const plain = digits.replace(/[-.]/g, "");
  const sign = value < 0 ? "-" : "";
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${plain}`;
  const whole = plain.padEnd(exponent + 1, "0");
  return `${sign}${whole.slice(0, exponent + 1)}.${whole.slice(exponent + 1) || "0"}`;
}

const unprintable = /[\p{C}\p{Zl}\p{Zp}\p{Zs}]/u;
const named = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\\", "\\\\"],
]);

/** A str between quotes, with what cannot be printed escaped. */
export function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let written = mark;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const short = named.get(character);
    if (short) written += short;
    else if (character === mark) written += `\\${mark}`;
    else if (character === " " || !unprintable.test(character)) written += character;
    else if (code < 0x100) written += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 0x10000) written += `\\u${code.toString(16).padStart(4, "0")}`;
    else written += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return written + mark;
}

/** Python's str(). */
export function toText(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  return value instanceof Undefined ? "" : represent(value);
}

/** Python's repr(). */
export function represent(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return quote(value);
  if (value instanceof Float) return formatFloat(value.value);
  if (value instanceof Markup) return `Markup(${quote(value.text)})`;
  if (Array.isArray(value)) return boundText(`[${value.map(represent).join(", ")}]`);
  if (value instanceof Dict)
    return boundText(
      `{${value
        .pairs()
        .map((pair) => pair.map(represent).join(": "))
        .join(", ")}}`,
    );
  if (value instanceof Tuple) {
    return boundText(`(${value.items.map(represent).join(", ")}${value.items.length === 1 ? "," : ""})`);
  }
  if (value instanceof Thing) return value.show();
  throw new TemplateFault(`a ${kindOf(value)} has no text`);
}

const marks = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ["'", "&#39;"],
  ['"', "&#34;"],
]);

/** A text as HTML has it; what is marked as HTML already stays. */
export function escapeHtml(value: Value): Markup {
  if (value instanceof Markup) return value;
  return new Markup(boundText(toText(value).replace(/[&<>'"]/g, (character) => marks.get(character)!)));
}
