import { ShapeError } from "../tensor/error.ts";
import { type Matrix, matrix, rowsOf } from "./matrix.ts";

/** Eigenvalues, largest first, and for each its vector of length 1, a row of `vectors`. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Matrix;
}

/**
 * All eigenvalues and vectors of a symmetric matrix, of which the lower half is read. Householder's reduction to three diagonals,
 * then implicit QL steps with Wilkinson's shift (Golub and Van Loan, "Matrix Computations", sections 8.3.1 and 8.3.3): vectors
 * are orthogonal to rounding whatever the values, values right to rounding of the largest. About 9 n³ FLOPs, and 2 n² numbers.
 * Throws ShapeError for a matrix that is not square, or holds what is no number.
 */
export function eigenSymmetric(a: Matrix): Eigen {
  const n = a.rows;
  if (n !== a.columns) throw new ShapeError(`eigen: got ${n} x ${a.columns}, expected as many rows as columns`);
  if (!a.values.every(Number.isFinite))
    throw new ShapeError("eigen: got a number that is none, expected finite numbers; the weights are damaged");
  const work = a.values.slice();
  const [diagonal, beside] = [new Float64Array(n), new Float64Array(n)];
  const scales = reduce(work, n, diagonal, beside);
  const turned = accumulate(work, n, scales);
  iterate(diagonal, beside, turned, n);
  const order = Array.from(diagonal.keys()).sort((i, j) => diagonal[j]! - diagonal[i]!);
  const vectors = matrix(n, n);
  order.forEach((from, to) => {
    vectors.values.set(turned.subarray(from * n, (from + 1) * n), to * n);
  });
  return { values: Float64Array.from(order, (i) => diagonal[i]!), vectors };
}

/** The vectors of the `count` largest eigenvalues, one a row. */
export function leading({ vectors }: Eigen, count: number): Matrix {
  return rowsOf(vectors, 0, count);
}

/**
 * Reduces `a` to three diagonals by n - 2 reflections I - s u uᵀ. Row k of `a` then holds the u that clears what is left of the
 * diagonal in row k: its first k numbers. Gives each s. From the last row up, so that all that is read lies row by row.
 */
function reduce(a: Float64Array, n: number, diagonal: Float64Array, beside: Float64Array): Float64Array {
  const scales = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = n - 1; k > 0; k--) {
    const row = k * n;
    diagonal[k] = a[row + k]!;
    let size = 0;
    for (let j = 0; j < k - 1; j++) size = Math.max(size, Math.abs(a[row + j]!));
    const last = a[row + k - 1]!;
    if (size === 0) {
      beside[k] = last;
      continue;
    }
    size = Math.max(size, Math.abs(last));
    let sum = 0;
    for (let j = 0; j < k; j++) {
      const x = a[row + j]! / size;
      sum += x * x;
    }
    const length = size * Math.sqrt(sum) * (last > 0 ? -1 : 1);
    beside[k] = length;
    // u = row - length e, kept divided by its last number: s = 1 - last / length follows, and nothing cancels.
    const head = last - length;
    for (let j = 0; j < k - 1; j++) a[row + j]! /= head;
    a[row + k - 1] = 1;
    const s = (length - last) / length;
    scales[k] = s;
    // p = s A u over the first k rows, of which the lower half is there.
    p.fill(0, 0, k);
    for (let i = 0; i < k; i++) {
      const at = i * n;
      const u = a[row + i]!;
      let total = 0;
      for (let j = 0; j < i; j++) {
        const x = a[at + j]!;
        total += x * a[row + j]!;
        p[j]! += x * u;
      }
      p[i]! += total + a[at + i]! * u;
    }
    let product = 0;
    for (let i = 0; i < k; i++) {
      p[i]! *= s;
      product += p[i]! * a[row + i]!;
    }
    const half = (s * product) / 2;
    for (let i = 0; i < k; i++) p[i]! -= half * a[row + i]!;
    for (let i = 0; i < k; i++) {
      const at = i * n;
      const u = a[row + i]!;
      const w = p[i]!;
      for (let j = 0; j <= i; j++) a[at + j]! -= u * p[j]! + w * a[row + j]!;
    }
  }
  diagonal[0] = a[0]!;
  return scales;
}

/** The product of all reflections, transposed: its row i is what the i-th unit vector of the reduced matrix stands for. */
function accumulate(a: Float64Array, n: number, scales: Float64Array): Float64Array {
  const q = new Float64Array(n * n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  // Reflection k changes the first k numbers; those before it have touched fewer, so that the corner alone is not the identity.
  for (let k = 2; k < n; k++) {
    const s = scales[k]!;
    if (s === 0) continue;
    const u = a.subarray(k * n, k * n + k);
    for (let i = 0; i < k; i++) {
      const at = i * n;
      let sum = 0;
      for (let j = 0; j < k; j++) sum += q[at + j]! * u[j]!;
      sum *= s;
      for (let j = 0; j < k; j++) q[at + j]! -= sum * u[j]!;
    }
  }
  return q;
}

/** Rotations of one QL step: pair i turned rows i and i + 1 by (cosine, sine). */
interface Sweep {
  readonly from: number;
  readonly turns: Float64Array;
}

/** How many QL steps are kept before the vectors are turned by all of them, some columns at a time. */
const KEPT = 32;
/** Columns that are turned together. */
const WIDTH = 128;

/** QL steps until nothing is left beside the diagonal; rows of `q` are turned along. */
function iterate(d: Float64Array, beside: Float64Array, q: Float64Array, n: number): void {
  const e = new Float64Array(n);
  e.set(beside.subarray(1), 0);
  const kept: Sweep[] = [];
  for (let l = 0; l < n; l++)
    for (let step = 0; ; step++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
      if (m === l) break;
      // It takes two steps for a value on average; thirty for one has not been seen since 1968.
      if (step === 60) throw new ShapeError("internal: eigenvalues do not settle");
      kept.push(turnOnce(d, e, l, m));
      if (kept.length === KEPT) turnRows(q, n, kept.splice(0));
    }
  turnRows(q, n, kept);
}

/** One implicit QL step over rows l to m of the three diagonals. */
function turnOnce(d: Float64Array, e: Float64Array, l: number, m: number): Sweep {
  const turns = new Float64Array(2 * (m - l));
  let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
  let r = Math.hypot(g, 1);
  g = d[m]! - d[l]! + e[l]! / (g + (g < 0 ? -r : r));
  let [s, c, p] = [1, 1, 0];
  let i = m - 1;
  for (; i >= l; i--) {
    const [f, b] = [s * e[i]!, c * e[i]!];
    r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1]! -= p;
      break;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    r = (d[i]! - g) * s + 2 * c * b;
    p = s * r;
    d[i + 1] = g + p;
    g = c * r - b;
    turns[2 * (i - l)] = c;
    turns[2 * (i - l) + 1] = s;
  }
  if (i >= l) {
    // The matrix fell apart midway: what was not turned stays as it is.
    for (let rest = l; rest <= i; rest++) turns[2 * (rest - l)] = 1;
  } else {
    d[l]! -= p;
    e[l] = g;
  }
  e[m] = 0;
  return { from: l, turns };
}

/** Turns neighbouring rows of `q` by all rotations in their order. */
function turnRows(q: Float64Array, n: number, sweeps: readonly Sweep[]): void {
  for (let first = 0; first < n; first += WIDTH) {
    const width = Math.min(WIDTH, n - first);
    for (const { from, turns } of sweeps)
      for (let i = turns.length / 2 - 1; i >= 0; i--) {
        const c = turns[2 * i]!;
        const s = turns[2 * i + 1]!;
        if (s === 0 && c === 1) continue;
        const lower = (from + i) * n + first;
        const upper = lower + n;
        for (let j = 0; j < width; j++) {
          const x = q[lower + j]!;
          const y = q[upper + j]!;
          q[upper + j] = s * x + c * y;
          q[lower + j] = c * x - s * y;
        }
      }
  }
}
