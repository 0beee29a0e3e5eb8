import { textOf } from "./set.ts";

/** Digits of an integer at most, which is more than 64 bits have; and of a fraction within bounds. */
const INTEGER_DIGITS = 20;
const FRACTION_DIGITS = 8;

/** A finite number as whole units of a power of ten. */
interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

function decimalOf(x: number): Decimal {
  const [mantissa = "", exponent = "0"] = String(x).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const scale = fraction.length - Number(exponent);
  const units = BigInt(whole + fraction);
  return scale < 0 ? { units: units * 10n ** BigInt(-scale), scale: 0 } : { units, scale };
}

/** A bound in units of 10^-digits, rounded to the side that is within; one step further where the bound itself is out. */
function unitsOf(x: number, digits: number, side: "up" | "down", exclusive: boolean): bigint {
  const { units, scale } = decimalOf(x);
  const shift = 10n ** BigInt(Math.abs(digits - scale));
  const exact = digits >= scale;
  const scaled = exact ? units * shift : units / shift;
  const whole = exact || units % shift === 0n;
  if (whole) return side === "up" ? scaled + (exclusive ? 1n : 0n) : scaled - (exclusive ? 1n : 0n);
  // BigInt division rounds to zero.
  if (side === "up") return units > 0n ? scaled + 1n : scaled;
  return units > 0n ? scaled : scaled - 1n;
}

/** Bounds of a number; those that are not there do not bound. */
export interface Bounds {
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly exclusiveMinimum?: number | undefined;
  readonly exclusiveMaximum?: number | undefined;
}

function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Bounds, digits: number): [bigint, bigint] {
  const most = 10n ** BigInt(INTEGER_DIGITS + digits) - 1n;
  const low = [-most];
  if (minimum !== undefined) low.push(unitsOf(minimum, digits, "up", false));
  if (exclusiveMinimum !== undefined) low.push(unitsOf(exclusiveMinimum, digits, "up", true));
  const high = [most];
  if (maximum !== undefined) high.push(unitsOf(maximum, digits, "down", false));
  if (exclusiveMaximum !== undefined) high.push(unitsOf(exclusiveMaximum, digits, "down", true));
  return [low.reduce((a, b) => (a > b ? a : b)), high.reduce((a, b) => (a < b ? a : b))];
}

/** Integers within bounds, as EBNF; undefined where there are none. */
export function integerGrammar(bounds: Bounds): string | undefined {
  return unitsBetween(...range(bounds, 0), 0);
}

/** Numbers within bounds: integers, and decimals of up to eight places. As EBNF; undefined where there are none. */
export function numberGrammar(bounds: Bounds): string | undefined {
  const places = Array.from({ length: FRACTION_DIGITS + 1 }, (_, digits) => digits);
  const options = places.flatMap((digits) => unitsBetween(...range(bounds, digits), digits) ?? []);
  return options.length ? `(${options.join(" | ")})` : undefined;
}

/** Units from `low` to `high`, with a point before the last `places` digits. */
function unitsBetween(low: bigint, high: bigint, places: number): string | undefined {
  if (low > high) return undefined;
  const options: string[] = [];
  if (low < 0n) options.push(`"-" ${digitsBetween(high < 0n ? -high : 1n, -low, places)}`);
  if (high >= 0n) options.push(digitsBetween(low > 0n ? low : 0n, high, places));
  return `(${options.join(" | ")})`;
}

/** The same for a range without negative numbers. */
function digitsBetween(low: bigint, high: bigint, places: number): string {
  const pad = (x: bigint) => String(x).padStart(places + 1, "0");
  const options: string[] = [];
  // Numbers of one length at a time; those of the first may begin with zeros that the point needs.
  for (let from = low; from <= high; ) {
    const { length } = pad(from);
    const last = 10n ** BigInt(length) - 1n;
    const to = last < high ? last : high;
    options.push(between(pad(from), pad(to), places));
    from = to + 1n;
  }
  return `(${options.join(" | ")})`;
}

/** Digits from `low` to `high`, which are equally long. */
function between(low: string, high: string, places: number): string {
  const left = low.length;
  if (left === 0) return '""';
  const point = left === places ? '"." ' : "";
  if (/^0*$/.test(low) && /^9*$/.test(high)) {
    if (point || left < places || places === 0) return `${point}[0-9]{${left}}`;
    return `[0-9]{${left - places}} "." [0-9]{${places}}`;
  }
  const [first, last] = [low[0]!, high[0]!];
  const inner = (a: string, b: string) => between(a, b, places);
  if (first === last) return `${point}${textOf(first)} ${inner(low.slice(1), high.slice(1))}`;
  const options = [`${textOf(first)} ${inner(low.slice(1), "9".repeat(left - 1))}`];
  const [next, before] = [Number(first) + 1, Number(last) - 1];
  if (next <= before) options.push(`[${next}-${before}] ${inner("0".repeat(left - 1), "9".repeat(left - 1))}`);
  options.push(`${textOf(last)} ${inner("0".repeat(left - 1), high.slice(1))}`);
  return `${point}(${options.join(" | ")})`;
}
