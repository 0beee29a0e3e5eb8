/** Axes in data units, and where their ticks stand. */

/** An axis in data units, and its length in pixels. */
export interface Axis {
  low: number;
  high: number;
  log: boolean;
  length: number;
}

/** An axis around `values`, a share `margin` of their span free at both ends; never of zero length. */
export function around(values: readonly number[], margin: number, length: number): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const pad = (most - least) * margin || Math.abs(least) * 0.01 || 1;
  return { low: least - pad, high: most + pad, log: false, length };
}

/** A logarithmic axis around positive `values`, `free` pixels empty at both ends; at least a factor of four between. */
export function decades(values: readonly number[], free: number, length: number): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(most / least, 4);
  const [middle, half] = [Math.sqrt(most * least), Math.sqrt(span) * span ** (free / (length - 2 * free))];
  return { low: middle / half, high: middle * half, log: true, length };
}

/** Pixels from the low end of an axis to `value`. */
export function pixels({ low, high, log, length }: Axis, value: number): number {
  return length * (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
}

/** The value at so many pixels from the low end of an axis; beyond its ends too. */
export function valueAt({ low, high, log, length }: Axis, at: number): number {
  return log ? low * (high / low) ** (at / length) : low + (at / length) * (high - low);
}

/** Powers of two inside an axis, about `most` of them. */
export function powers({ low, high }: Axis, most: number): number[] {
  const [first, last] = [Math.ceil(Math.log2(low)), Math.floor(Math.log2(high))];
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const found = [];
  for (let power = last; power >= first; power -= step) found.unshift(2 ** power);
  return found;
}

/** Round values along a logarithmic axis: 1, 2 and 5 of every power of ten, or fewer, so that there are about `most`. */
export function tens({ low, high }: Axis, most: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const inside = (factors: readonly number[], step = 1) =>
    Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => 10 ** (first + at * step))
      .flatMap((power) => factors.map((factor) => factor * power))
      .filter((value) => value >= low && value <= high);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const found = inside(factors);
    if (found.length <= most) return found;
  }
  return inside([1], Math.ceil((last - first + 1) / most));
}

/** Decimals that tell neighbouring ticks apart. */
export function tickDigits(ticks: readonly number[]): number {
  const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : 1;
  return Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
}

/** Round values along a linear axis, `apart` pixels or more from each other. */
export function round({ low, high, length }: Axis, apart: number): number[] {
  const rough = ((high - low) * apart) / length;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9))!;
  const found = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count++) found.push(count * step);
  return found;
}

/** As many of the values as have `apart` pixels each, the last always among them. */
export function thin(values: readonly number[], { length }: Axis, apart: number): number[] {
  const each = Math.max(1, Math.ceil((values.length * apart) / length));
  return values.filter((_, index) => (values.length - 1 - index) % each === 0);
}
