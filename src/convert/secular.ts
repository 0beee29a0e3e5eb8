import { type Matrix, matrix } from "./matrix.ts";

/**
 * Eigenvalues, in rising order, and vectors, one a row, of diag(d) + rho z zᵀ, for d that rise strictly, z without zeros and rho > 0:
 * the roots of 1 + rho sum z_i² / (d_i - x), one above each d. Each root is sought from the nearer of its two neighbours, so that its
 * distances to all d are right to rounding; then z is taken anew, as that for which the roots found are exact, so that vectors are
 * orthogonal to rounding however close the roots lie (Gu and Eisenstat, SIAM Journal on Matrix Analysis 16, 1995).
 */
export function solveSecular(d: Float64Array, z: Float64Array, rho: number): { values: Float64Array; vectors: Matrix } {
  const k = d.length;
  const squares = z.map((x) => x * x);
  const total = squares.reduce((a, b) => a + b, 0);
  const values = new Float64Array(k);
  // Row j: d_i - root j.
  const gaps = matrix(k, k);
  for (let j = 0; j < k; j++) {
    const row = gaps.values.subarray(j * k, (j + 1) * k);
    values[j] = findRoot(d, squares, rho, total, j, row);
  }
  const anew = new Float64Array(k);
  for (let i = 0; i < k; i++) {
    let product = -gaps.values[i * k + i]!;
    for (let j = 0; j < k; j++) if (j !== i) product *= gaps.values[j * k + i]! / (d[i]! - d[j]!);
    anew[i] = Math.sqrt(Math.abs(product)) * (z[i]! < 0 ? -1 : 1);
  }
  for (let j = 0; j < k; j++) {
    const row = gaps.values.subarray(j * k, (j + 1) * k);
    let length = 0;
    for (let i = 0; i < k; i++) {
      const x = anew[i]! / row[i]!;
      row[i] = x;
      length += x * x;
    }
    length = Math.sqrt(length);
    for (let i = 0; i < k; i++) row[i]! /= length;
  }
  return { values, vectors: gaps };
}

/**
 * Root j, between d_j and what follows, and into `gaps` d_i - root. By steps that are exact for two poles: left of the root the sum is
 * taken for r + s / (d_j - x), right of it the same with d_(j + 1), each with the sum's value and slope (Demmel, "Applied Numerical
 * Linear Algebra", section 5.3.3). A step out of what is known to hold the root is a bisection.
 */
function findRoot(
  d: Float64Array,
  squares: Float64Array,
  rho: number,
  total: number,
  j: number,
  gaps: Float64Array,
): number {
  const k = d.length;
  const width = j + 1 < k ? d[j + 1]! - d[j]! : rho * total;
  // Which neighbour is nearer: the sign at the middle tells.
  let middle = 1;
  for (let i = 0; i < k; i++) middle += (rho * squares[i]!) / (d[i]! - d[j]! - width / 2);
  const origin = middle >= 0 || j + 1 === k ? j : j + 1;
  const from = d[origin]!;
  for (let i = 0; i < k; i++) gaps[i] = d[i]! - from;
  // The root is from + x, with x between low and high.
  let low = origin === j ? (middle >= 0 ? 0 : width / 2) : -width / 2;
  let high = origin === j ? (middle >= 0 ? width / 2 : width) : 0;
  const [a, b] = [d[j]! - from, (j + 1 < k ? d[j + 1]! : d[j]! + width) - from];
  let x = (low + high) / 2;
  for (let step = 0; step < 80; step++) {
    let [left, leftSlope, right, rightSlope] = [0, 0, 0, 0];
    for (let i = 0; i <= j; i++) {
      const by = 1 / (gaps[i]! - x);
      const part = rho * squares[i]! * by;
      left += part;
      leftSlope += part * by;
    }
    for (let i = j + 1; i < k; i++) {
      const by = 1 / (gaps[i]! - x);
      const part = rho * squares[i]! * by;
      right += part;
      rightSlope += part * by;
    }
    const f = 1 + left + right;
    if (f < 0) low = x;
    else high = x;
    // Rounding of a sum of so many numbers of these sizes.
    if (Math.abs(f) <= 2 * Number.EPSILON * k * (1 - left + right)) break;
    const next = stepOf(f, leftSlope, rightSlope, a - x, b - x, j + 1 === k) + x;
    const inside = next > low && next < high;
    const moved = inside ? next : (low + high) / 2;
    if (moved === x || Math.abs(moved - x) <= Number.EPSILON * Math.abs(x)) {
      x = moved;
      break;
    }
    x = moved;
  }
  for (let i = 0; i < k; i++) gaps[i]! -= x;
  return from + x;
}

/** How far to the zero of r + s / (a - y) + t / (b - y), which has the sum's values and slopes at y = 0. */
function stepOf(f: number, leftSlope: number, rightSlope: number, a: number, b: number, last: boolean): number {
  const s = leftSlope * a * a;
  const t = last ? 0 : rightSlope * b * b;
  const r = f - leftSlope * a - (last ? 0 : rightSlope * b);
  // The last root has no pole above it: r + s / (a - y) = 0.
  if (last) return a + s / r;
  // r (a - y)(b - y) + s (b - y) + t (a - y) = 0, of whose two roots that between a and b is wanted: the one nearer to 0.
  const p = r * (a + b) + s + t;
  const q = r * a * b + s * b + t * a;
  const root = Math.sqrt(Math.max(0, p * p - 4 * r * q));
  return p > 0 ? (2 * q) / (p + root) : r === 0 ? q / p : (p - root) / (2 * r);
}
