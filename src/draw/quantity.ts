/** How the table, the pictures and the report write numbers: one way for each kind of quantity. */
const thousands = ["", "k", "M", "G", "T", "P", "E"];
const binary = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Significant digits (three unless given) without an exponent, trailing zeros kept: 1.05, 12.0, 850. */
function three(value: number, digits = 3): string {
  if (value === 0) return "0";
  const rounded = Math.abs(Number(value.toPrecision(digits)));
  return value.toFixed(Math.max(0, digits - 1 - Math.max(0, Math.floor(Math.log10(rounded)))));
}

/** A count to three digits: 950, 1.05M, 12.3k. */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) < 1000) return Number.isInteger(value) ? String(value) : three(value);
  let [scaled, step] = [value, 0];
  while (Math.abs(scaled) >= 999.5 && step < thousands.length - 1) {
    scaled /= 1000;
    step++;
  }
  return `${three(scaled)}${thousands[step]}`;
}

/** A whole number with thin gaps between the thousands: 1 048 576. */
export function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Bytes in binary units: 512 B, 4 KiB, 1.50 MiB. */
export function bytes(value: number): string {
  return inBinary(value, 3);
}

/** Bytes in binary units to four digits: 10.72 GiB. */
export function exactBytes(value: number): string {
  return inBinary(value, 4);
}

function inBinary(value: number, digits: number): string {
  let [scaled, step] = [value, 0];
  while (Math.abs(scaled) >= 1023.5 && step < binary.length - 1) {
    scaled /= 1024;
    step++;
  }
  return `${Number.isInteger(scaled) ? scaled : three(scaled, digits)} ${binary[step]}`;
}

/** A context length, in binary thousands where it is one: 512, 1k, 32k. */
export function context(tokens: number): string {
  return tokens >= 1024 && tokens % 1024 === 0 ? `${tokens / 1024}k` : String(tokens);
}

/** Milliseconds to three digits. */
export function milliseconds(value: number): string {
  return `${three(value)} ms`;
}

/** Seconds in the unit that suits them: 350 us, 12.5 ms, 3.2 s, 15 min, 3 h. */
export function time(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const [factor, unit] = units.find(([, , most]) => seconds < most)!;
  return `${Number((seconds * factor).toPrecision(3))} ${unit}`;
}

const units = [
  [1e6, "us", 1e-3],
  [1e3, "ms", 1],
  [1, "s", 600],
  [1 / 60, "min", 7200],
  [1 / 3600, "h", Number.POSITIVE_INFINITY],
] as const;

/** Seconds at ticks of a logarithmic axis, which are round in seconds: 100 ms, 1 s, 1000 s. */
export function tickTime(seconds: number): string {
  return seconds < 1 ? time(seconds) : `${Number(seconds.toPrecision(3))} s`;
}

/** A share in hundredths: 99.3 %. */
export function percent(share: number | null): string {
  return share === null ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** A power of ten in one line: 3.1e-15. */
export function scientific(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}

/** A loss or a difference with a true minus sign; "diverged" for null or NaN. */
export function loss(value: number | null, digits: number): string {
  if (value === null || !Number.isFinite(value)) return "diverged";
  return value.toFixed(digits).replace("-", "\u2212");
}

/** A difference, always with its sign. */
export function withSign(value: number, digits: number): string {
  return `${value > 0 ? "+" : ""}${loss(value, digits)}`;
}

/** Decimals that show the narrowest of intervals, given by half their widths, to two digits; three where there is none. */
export function decimals(halfWidths: readonly (number | null)[]): number {
  const halves = halfWidths.filter((half) => half !== null && half > 0) as number[];
  if (halves.length === 0) return 3;
  return Math.min(5, Math.max(2, 1 - Math.floor(Math.log10(Math.min(...halves)))));
}

/** Seconds as a clock reads them: 42 s, 3 min 20 s, 1 h 05 min. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  if (h > 0) return `${h} h ${String(m).padStart(2, "0")} min`;
  return m > 0 ? `${m} min ${String(s).padStart(2, "0")} s` : `${s} s`;
}
