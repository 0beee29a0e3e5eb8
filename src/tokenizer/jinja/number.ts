// Python's arithmetic: ints without bound, floats that stay floats, and rounding towards minus infinity.
import { represent } from "./text.ts";
import { Float, kindOf, TemplateFault, type Value } from "./value.ts";

type Int = number | bigint;

/** Bits of an int, beyond which a template is not going to need it. */
const BITS = 16_384;

/** A bool, int or float as a JavaScript number, a longer int as a bigint, a float as itself; undefined for all else. */
function numeric(value: Value): Int | Float | undefined {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" || typeof value === "bigint" || value instanceof Float ? value : undefined;
}

/** A number of any kind as a float; undefined for what is none. */
export function floatOf(value: Value): number | undefined {
  const number = numeric(value);
  return number === undefined ? undefined : number instanceof Float ? number.value : Number(number);
}

/** A bool or int as an int; undefined for all else. */
export function intOf(value: Value | undefined): Int | undefined {
  const number = value === undefined ? undefined : numeric(value);
  return number instanceof Float ? undefined : number;
}

/** An int that a position or a count can be. Throws TemplateFault naming the subject for all else. */
export function countOf(value: Value | undefined, subject: string): number {
  const int = intOf(value);
  if (int === undefined)
    throw new TemplateFault(`${subject}: got ${value === undefined ? "nothing" : kindOf(value)}, expected an integer`);
  return Math.max(Math.min(Number(int), Number.MAX_SAFE_INTEGER), Number.MIN_SAFE_INTEGER);
}

/** An int in the form that values have it. */
export function shrink(value: bigint): Int {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  if (value.toString(16).length * 4 > BITS) throw new TemplateFault(`an integer of more than ${BITS} bits`);
  return value;
}

/** A float as an int, its fraction dropped. */
export function truncate(value: number): Int {
  if (Number.isNaN(value)) throw new TemplateFault("cannot convert float NaN to integer");
  if (!Number.isFinite(value)) throw new TemplateFault("cannot convert float infinity to integer");
  return shrink(BigInt(Math.trunc(value)));
}

const exact: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "//": (a, b) => a / b - (a % b !== 0n && a % b < 0n !== b < 0n ? 1n : 0n),
  "%": (a, b) => ((a % b) + b) % b,
};

const rounded: Readonly<Record<string, (a: number, b: number) => number>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "//": (a, b) => divideFloor(a, b),
  "%": modulo,
  "**": (a, b) => a ** b,
};

/** The remainder with the divisor's sign. */
function modulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 || Object.is(b, -0) ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

function divideFloor(a: number, b: number): number {
  const whole = (a - modulo(a, b)) / b;
  if (whole === 0) return a < 0 !== b < 0 ? -0 : 0;
  const floor = Math.floor(whole);
  return whole - floor > 0.5 ? floor + 1 : floor;
}

/** One of + - * / // % ** of two numbers; undefined where one is no number. */
export function calculate(operator: string, left: Value, right: Value): Value | undefined {
  const a = numeric(left);
  const b = numeric(right);
  if (a === undefined || b === undefined) return undefined;
  const isFloat = a instanceof Float || b instanceof Float;
  const [x, y] = [Number(a instanceof Float ? a.value : a), Number(b instanceof Float ? b.value : b)];
  if (y === 0 && (operator === "/" || operator === "//" || operator === "%"))
    throw new TemplateFault(`division by zero: ${represent(left)} ${operator} 0`);
  if (operator === "**") {
    if (!isFloat && y >= 0) return power(BigInt(a as Int), BigInt(b as Int));
    if (x === 0 && y < 0) throw new TemplateFault("0.0 cannot be raised to a negative power");
    if (x < 0 && !Number.isInteger(y)) throw new TemplateFault("a root of a negative number, which is complex");
  }
  if (isFloat || operator === "/" || operator === "**") return new Float(rounded[operator]!(x, y));
  if (typeof a === "number" && typeof b === "number") {
    const result = rounded[operator]!(a, b);
    // Zero has no sign among ints.
    if (Number.isSafeInteger(result)) return result === 0 ? 0 : result;
  }
  return shrink(exact[operator]!(BigInt(a as Int), BigInt(b as Int)));
}

function power(base: bigint, exponent: bigint): Int {
  const bits = base < 2n && base > -2n ? 1 : base.toString(2).length;
  if (BigInt(bits) * exponent > BITS && bits > 1) throw new TemplateFault(`an integer of more than ${BITS} bits`);
  if (bits === 1) return Number(base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : exponent === 0n ? 1n : base);
  return shrink(base ** exponent);
}

/** Less than 0, 0, or more, as two numbers stand; NaN where one is NaN, undefined where one is no number. */
export function compareNumbers(left: Value, right: Value): number | undefined {
  const a = numeric(left);
  const b = numeric(right);
  if (a === undefined || b === undefined) return undefined;
  const x = a instanceof Float ? a.value : a;
  const y = b instanceof Float ? b.value : b;
  // JavaScript compares a bigint with a number exactly.
  if (x < y) return -1;
  if (x > y) return 1;
  return x >= y ? 0 : Number.NaN;
}

/** A value with its sign turned. */
export function negate(value: Value): Value {
  const number = numeric(value);
  if (number === undefined) throw new TemplateFault(`bad operand type for unary -: '${kindOf(value)}'`);
  if (number instanceof Float) return new Float(-number.value);
  return typeof number === "bigint" ? shrink(-number) : number === 0 ? 0 : -number;
}

/** Rounds to so many digits as Python does: by the exact value, halves to the even digit. */
export function roundHalfEven(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 22) return value;
  if (digits < 0) {
    const unit = 10 ** -digits;
    return roundHalfEven(value / unit, 0) * unit;
  }
  const text = Math.abs(value) < 1e21 ? value.toFixed(Math.min(digits + 60, 100)) : "";
  if (!text) return value;
  const point = text.indexOf(".") + 1 + digits;
  const rest = text.slice(point);
  if (!/^50*$/.test(rest)) return Number(value.toFixed(digits));
  const kept = text.slice(0, point);
  const isEven = Number(kept.replace(/\.$/, "").at(-1)) % 2 === 0;
  if (isEven) return Number(kept);
  const step = 10 ** -digits;
  return Number((Number(kept) + (value < 0 ? -step : step)).toFixed(digits));
}
