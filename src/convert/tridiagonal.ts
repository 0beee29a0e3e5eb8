import { ShapeError } from "../tensor/error.ts";
import { multiplyTransposed } from "./double.ts";
import { type Matrix, matrix, pickRows, rowsOf, transpose } from "./matrix.ts";
import { solveSecular } from "./secular.ts";

/** Values in rising order, and the vector of each, a row. */
export interface Rising {
  readonly values: Float64Array;
  readonly vectors: Matrix;
}

/** Up to so many rows QL steps are quicker than dividing. */
const LEAF = 32;

/**
 * Eigenvalues and vectors of the symmetric matrix with these three diagonals; number k of `beside` lies between k - 1 and k. Divided in
 * halves that differ from the whole by one outer product (Cuppen, Numerische Mathematik 36, 1981), whose vectors follow from those of
 * the halves by the secular equation and one product of matrices. What hardly changes in that step is left as it is (deflation).
 */
export function eigenTridiagonal(diagonal: Float64Array, beside: Float64Array): Rising {
  const n = diagonal.length;
  if (n <= LEAF) return iterate(diagonal, beside);
  const half = n >> 1;
  const b = beside[half]!;
  const [upper, lower] = [diagonal.slice(0, half), diagonal.slice(half)];
  // b e eᵀ with e = (.., 1, sign, ..) is taken off: what is left falls apart.
  upper[half - 1]! -= Math.abs(b);
  lower[0]! -= Math.abs(b);
  const [one, two] = [eigenTridiagonal(upper, beside.slice(0, half)), eigenTridiagonal(lower, beside.slice(half))];
  return join(one, two, Math.abs(b), b < 0 ? -1 : 1);
}

/** A vector of one of the halves: which, where, and whether turning it with one of the other half has filled it. */
interface Part {
  value: number;
  /** Its number in the outer product's vector. */
  z: number;
  readonly row: Float64Array;
  upper: boolean;
  lower: boolean;
}

function join(one: Rising, two: Rising, rho: number, sign: number): Rising {
  const [n1, n2] = [one.values.length, two.values.length];
  const n = n1 + n2;
  const parts: Part[] = [];
  const root = Math.SQRT1_2;
  for (let i = 0; i < n1; i++) {
    const row = new Float64Array(n);
    row.set(rowsOf(one.vectors, i, i + 1).values);
    parts.push({ value: one.values[i]!, z: row[n1 - 1]! * root, row, upper: true, lower: false });
  }
  for (let i = 0; i < n2; i++) {
    const row = new Float64Array(n);
    row.set(rowsOf(two.vectors, i, i + 1).values, n1);
    parts.push({ value: two.values[i]!, z: sign * row[n1]! * root, row, upper: false, lower: true });
  }
  parts.sort((a, b) => a.value - b.value);
  const { live, still } = deflate(parts, 2 * rho, n1);
  const found = still.map(({ value, row }) => ({ value, row }));
  if (live.length) {
    const solved = solveSecular(
      Float64Array.from(live, ({ value }) => value),
      Float64Array.from(live, ({ z }) => z),
      2 * rho,
    );
    const rows = combine(solved.vectors, live, n1);
    for (let i = 0; i < live.length; i++)
      found.push({ value: solved.values[i]!, row: rows.values.subarray(i * n, (i + 1) * n) });
  }
  found.sort((a, b) => a.value - b.value);
  const vectors = matrix(n, n);
  found.forEach(({ row }, i) => {
    vectors.values.set(row, i * n);
  });
  return { values: Float64Array.from(found, ({ value }) => value), vectors };
}

/** Parts that the outer product hardly moves, and all others: of two equal values one is turned out of it. */
function deflate(parts: readonly Part[], rho: number, half: number): { live: Part[]; still: Part[] } {
  const live: Part[] = [];
  const still: Part[] = [];
  let [size, longest] = [0, 0];
  for (const { value, z } of parts) {
    size = Math.max(size, Math.abs(value));
    longest = Math.max(longest, Math.abs(z));
  }
  const tolerance = 8 * Number.EPSILON * Math.max(size, rho * longest);
  for (const part of parts) {
    if (rho * Math.abs(part.z) <= tolerance) {
      still.push(part);
      continue;
    }
    const last = live.at(-1);
    if (last) {
      const length = Math.hypot(last.z, part.z);
      const [c, s] = [part.z / length, last.z / length];
      if (Math.abs((part.value - last.value) * c * s) <= tolerance) {
        turn(last, part, c, s, half);
        part.z = length;
        const [low, high] = [last.value, part.value];
        last.value = low * c * c + high * s * s;
        part.value = low * s * s + high * c * c;
        live.pop();
        still.push(last);
      }
    }
    live.push(part);
  }
  return { live, still };
}

/** Turns two rows so that the first has no part in the outer product any more. */
function turn(a: Part, b: Part, c: number, s: number, half: number): void {
  const n = a.row.length;
  const upper = a.upper || b.upper;
  const lower = a.lower || b.lower;
  for (let j = upper ? 0 : half; j < (lower ? n : half); j++) {
    const [x, y] = [a.row[j]!, b.row[j]!];
    a.row[j] = c * x - s * y;
    b.row[j] = s * x + c * y;
  }
  b.upper = upper;
  b.lower = lower;
}

/** Sums of the live rows by the secular equation's vectors: each half's columns from the rows that have numbers there. */
function combine(vectors: Matrix, live: readonly Part[], half: number): Matrix {
  const n = live[0]!.row.length;
  const out = matrix(vectors.rows, n);
  const put = (of: readonly number[], from: number, to: number) => {
    if (!of.length) return;
    const width = to - from;
    // The product wants columns as rows.
    const rows = matrix(of.length, width);
    of.forEach((at, i) => {
      rows.values.set(live[at]!.row.subarray(from, to), i * width);
    });
    const weights = of.length === live.length ? vectors : transpose(pickRows(transpose(vectors), of));
    const made = multiplyTransposed(weights, transpose(rows));
    for (let i = 0; i < made.rows; i++) out.values.set(made.values.subarray(i * width, (i + 1) * width), i * n + from);
  };
  const all = Array.from(live.keys());
  put(
    all.filter((i) => live[i]!.upper),
    0,
    half,
  );
  put(
    all.filter((i) => live[i]!.lower),
    half,
    n,
  );
  return out;
}

/** Implicit QL steps with Wilkinson's shift (Golub and Van Loan, "Matrix Computations", section 8.3.3). */
function iterate(diagonal: Float64Array, beside: Float64Array): Rising {
  const n = diagonal.length;
  const d = diagonal.slice();
  const e = new Float64Array(n);
  e.set(beside.subarray(1), 0);
  const rows = Array.from({ length: n }, (_, i) => {
    const row = new Float64Array(n);
    row[i] = 1;
    return row;
  });
  for (let l = 0; l < n; l++)
    for (let step = 0; ; step++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
      if (m === l) break;
      // It takes two steps for a value on average; thirty for one has not been seen since 1968.
      if (step === 60) throw new ShapeError("internal: eigenvalues do not settle");
      stepOnce(d, e, l, m, rows);
    }
  const order = Array.from(d.keys()).sort((i, j) => d[i]! - d[j]!);
  const vectors = matrix(n, n);
  order.forEach((from, to) => {
    vectors.values.set(rows[from]!, to * n);
  });
  return { values: Float64Array.from(order, (i) => d[i]!), vectors };
}

/** One QL step over rows l to m of the three diagonals, and the vectors along. */
function stepOnce(d: Float64Array, e: Float64Array, l: number, m: number, rows: readonly Float64Array[]): void {
  let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
  let r = Math.hypot(g, 1);
  g = d[m]! - d[l]! + e[l]! / (g + (g < 0 ? -r : r));
  let s = 1;
  let c = 1;
  let p = 0;
  for (let i = m - 1; i >= l; i--) {
    const f = s * e[i]!;
    const b = c * e[i]!;
    r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      // The matrix fell apart midway.
      d[i + 1]! -= p;
      e[m] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    r = (d[i]! - g) * s + 2 * c * b;
    p = s * r;
    d[i + 1] = g + p;
    g = c * r - b;
    const [lower, upper] = [rows[i]!, rows[i + 1]!];
    for (let j = 0; j < lower.length; j++) {
      const x = lower[j]!;
      const y = upper[j]!;
      upper[j] = s * x + c * y;
      lower[j] = c * x - s * y;
    }
  }
  d[l]! -= p;
  e[l] = g;
  e[m] = 0;
}
