// Python's `%` on strings.
import { formatNumber } from "./decimal.ts";
import { countOf, floatOf, intOf, truncate } from "./number.ts";
import { pad } from "./pad.ts";
import { boundText, checkLength, escapeHtml, represent, toText } from "./text.ts";
import { Dict, Float, kindOf, pointsOf, TemplateFault, Thing, Tuple, type Value } from "./value.ts";

const field = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S])?/g;

/** Writes values into the fields of a template such as `%s` or `%-5.2f`; one that is marked as HTML escapes them. */
export function formatPercent(template: string, given: Value, isHtml: boolean): string {
  const values = given instanceof Tuple ? given.items : [given];
  let used = 0;
  const next = (): Value => {
    if (used >= values.length) throw new TemplateFault("not enough arguments for format string");
    return values[used++]!;
  };
  let usesNames = false;
  const width = (text: string | undefined) =>
    text === "*" ? countOf(next(), "a width of %") : text === undefined ? undefined : Number(text);
  const written = template.replace(field, (...match) => {
    const [, name, flags, wide, precise, type] = match as [string, string?, string?, string?, string?, string?];
    if (type === undefined) throw new TemplateFault("got an incomplete field of %, expected its letter");
    if (type === "%") return "%";
    if (name !== undefined) usesNames = true;
    const columns = width(wide) ?? 0;
    const digits = width(precise === "" ? "0" : precise);
    const value = name === undefined ? next() : lookUp(given, name);
    const text = writeField(value, type, flags!, digits, isHtml);
    const isLeft = flags!.includes("-") || columns < 0;
    checkLength(Math.abs(columns));
    const isZeros = flags!.includes("0") && !isLeft && !/[scra]/.test(type);
    return pad(text, Math.abs(columns), isZeros ? "0" : " ", isLeft ? "<" : isZeros ? "=" : ">");
  });
  const spare = given instanceof Tuple ? used < values.length : used === 0 && !usesNames && !takesAll(given);
  if (spare) throw new TemplateFault("not all arguments converted during string formatting");
  return boundText(written);
}

/** Whether a value may be left over: a mapping or a sequence that is no tuple. */
const takesAll = (value: Value) =>
  value instanceof Dict || Array.isArray(value) || (value instanceof Thing && value.size !== undefined);

function lookUp(given: Value, name: string): Value {
  if (!(given instanceof Dict)) throw new TemplateFault(`%(${name}): got ${kindOf(given)}, expected a mapping`);
  const value = given.get(name);
  if (value === undefined) throw new TemplateFault(`%(${name}): got no such key, expected one`);
  return value;
}

function writeField(value: Value, type: string, flags: string, digits: number | undefined, isHtml: boolean): string {
  const signed = (text: string) =>
    text.startsWith("-") ? text : flags.includes("+") ? `+${text}` : flags.includes(" ") ? ` ${text}` : text;
  switch (type) {
    case "s":
    case "r":
    case "a": {
      if (type === "a") break;
      const text = isHtml
        ? escapeHtml(type === "s" ? value : represent(value)).text
        : type === "s"
          ? toText(value)
          : represent(value);
      return digits === undefined ? text : pointsOf(text).slice(0, digits).join("");
    }
    case "c": {
      const code = intOf(value);
      const text = code === undefined ? toText(value) : String.fromCodePoint(Number(code));
      if (pointsOf(text).length !== 1) throw new TemplateFault("%c: got more than one character, expected one");
      return text;
    }
    case "d":
    case "i":
    case "u": {
      const int = intOf(value) ?? (value instanceof Float ? truncate(value.value) : undefined);
      if (int === undefined) throw new TemplateFault(`%${type}: got ${kindOf(value)}, expected a number`);
      return signed(lengthen(String(int), digits));
    }
    case "x":
    case "X":
    case "o": {
      const int = intOf(value);
      if (int === undefined) throw new TemplateFault(`%${type}: got ${kindOf(value)}, expected an integer`);
      let text = lengthen(int.toString(type === "o" ? 8 : 16), digits);
      if (flags.includes("#")) text = text.replace(/^-?/, (sign) => `${sign}0${type.toLowerCase()}`);
      return signed(type === "X" ? text.toUpperCase() : text);
    }
    case "e":
    case "E":
    case "f":
    case "F":
    case "g":
    case "G": {
      const number = floatOf(value);
      if (number === undefined) throw new TemplateFault(`%${type}: got ${kindOf(value)}, expected a number`);
      return signed(formatNumber(number, type, digits ?? 6, flags.includes("#")));
    }
  }
  throw new TemplateFault(
    `%${type}: got a field of a type that is not known here, expected one of s r c d i u x X o e E f F g G`,
  );
}

/** An int with at least so many digits. */
function lengthen(text: string, digits: number | undefined): string {
  if (digits === undefined) return text;
  checkLength(digits);
  return text.replace(/\d[\da-f]*/, (all) => all.padStart(digits, "0"));
}
