import { roundHalfEven } from "./number.ts";
import { TemplateFault } from "./value.ts";

/** Digits behind the point, beyond which no template asks. */
const DIGITS = 100;

/** A float as C's printf writes it: `f` with so many digits behind the point, `e` with an exponent, `g` whichever is shorter. */
export function formatNumber(value: number, type: string, digits: number, keepsZeros = false): string {
  if (digits > DIGITS) throw new TemplateFault(`got ${digits} digits behind a point, expected at most ${DIGITS}`);
  if (!Number.isFinite(value)) {
    const text = Number.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
    return type === type.toUpperCase() ? text.toUpperCase() : text;
  }
  const small = type.toLowerCase();
  const text =
    small === "f"
      ? formatPlain(value, digits)
      : small === "e"
        ? scientific(value, digits)
        : general(value, digits, keepsZeros);
  return type === small ? text : text.toUpperCase();
}

function formatPlain(value: number, digits: number): string {
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}${digits ? `.${"0".repeat(digits)}` : ""}`;
  const text = (digits <= 22 ? roundHalfEven(value, digits) : value).toFixed(digits);
  return Object.is(value, -0) || (value < 0 && !text.startsWith("-")) ? `-${text}` : text;
}

function scientific(value: number, digits: number): string {
  const [mantissa, exponent] = value.toExponential(digits).split("e") as [string, string];
  const sign = Object.is(value, -0) ? "-" : "";
  return `${sign}${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

function general(value: number, digits: number, keepsZeros: boolean): string {
  const precision = Math.max(digits, 1);
  const exponent = value === 0 ? 0 : Number(value.toExponential(precision - 1).split("e")[1]);
  const isFixed = exponent >= -4 && exponent < precision;
  const text = isFixed ? formatPlain(value, precision - 1 - exponent) : scientific(value, precision - 1);
  if (keepsZeros || !text.includes(".")) return text;
  const [mantissa, power] = text.split("e") as [string, string?];
  return mantissa.replace(/\.?0+$/, "") + (power === undefined ? "" : `e${power}`);
}
