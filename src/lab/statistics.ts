/**
 * What a few seeds allow one to say: a mean, the interval that holds the true mean in 95 of 100 such experiments, and
 * whether a difference is larger than that. Seeds are few (two to ten), so the quantile is Student's, not the normal's.
 */

/** A mean with the ends of its confidence interval; the ends are null where they are undefined (fewer than two values). */
export interface Interval {
  mean: number;
  low: number | null;
  high: number | null;
}

/** One seed's final loss; null where the run diverged. */
export interface SeedLoss {
  seed: number;
  loss: number | null;
}

/**
 * The probability that |T| < t for Student's T with a whole number of degrees of freedom, as a finite sum in
 * theta = atan(t / sqrt(degrees)).
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 (odd) and 26.7.4 (even).
 */
function coverage(theta: number, degrees: number): number {
  const [sine, cosine] = [Math.sin(theta), Math.cos(theta)];
  const odd = degrees % 2 === 1;
  let term = odd ? sine * cosine : sine;
  let sum = degrees === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k <= degrees - 2; k += 2) {
    term *= ((k - 1) / k) * cosine * cosine;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (theta + sum) : sum;
}

/**
 * The t such that |T| < t with probability `level`, for `degrees` >= 1 degrees of freedom: the exact finite sums above,
 * inverted by bisection. Infinite where no interval exists (degrees < 1).
 */
export function studentQuantile(degrees: number, level = 0.95): number {
  if (!(degrees >= 1)) return Number.POSITIVE_INFINITY;
  const whole = Math.floor(degrees);
  let [low, high] = [0, Math.PI / 2];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (coverage(middle, whole) < level) low = middle;
    else high = middle;
  }
  return Math.sqrt(whole) * Math.tan((low + high) / 2);
}

/**
 * Mean of `values` with its two-sided confidence interval, mean +- t s / sqrt(n), s the sample deviation (n - 1).
 * One value has a mean and no interval; no values, or one that is not finite, have neither (mean NaN).
 */
export function meanInterval(values: readonly number[], level = 0.95): Interval {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2 || !Number.isFinite(mean)) return { mean, low: null, high: null };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = studentQuantile(n - 1, level) * Math.sqrt(variance / n);
  return { mean, low: mean - half, high: mean + half };
}

/**
 * Mean of a - b over the seeds both have, with its interval. Both arms saw the same batches under one seed, so what the
 * batches add to both cancels in the difference, and the interval is narrower than that of two separate means.
 * Seeds of which either arm diverged are left out; without a common seed the mean is NaN.
 */
export function pairedDifference(a: readonly SeedLoss[], b: readonly SeedLoss[], level = 0.95): Interval {
  return meanInterval(pairedDifferences(a, b), level);
}

/** a - b for each seed that both have and neither diverged with. */
export function pairedDifferences(a: readonly SeedLoss[], b: readonly SeedLoss[]): number[] {
  const other = new Map(b.map(({ seed, loss }) => [seed, loss]));
  return a.flatMap(({ seed, loss }) => {
    const paired = other.get(seed) ?? null;
    return loss === null || paired === null ? [] : [loss - paired];
  });
}

/** Whether an interval of differences leaves zero out. Where there is no interval nothing can be told: false. */
export function exceeds({ low, high }: { low: number | null; high: number | null }): boolean {
  return low !== null && high !== null && (low > 0 || high < 0);
}

/** Half the width of an interval, or null where it has no ends. */
export function halfWidth({ low, high }: { low: number | null; high: number | null }): number | null {
  return low === null || high === null ? null : (high - low) / 2;
}

/** The middle one of some numbers, the upper of two; there has to be one. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}
