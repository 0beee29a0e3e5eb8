import { ShapeError } from "../tensor/error.ts";

/** A matrix of float64 numbers, row by row. A linear layer y = W x is one of `[outputs, inputs]`, as papers write it. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** A matrix of these numbers, zeros unless given. Throws ShapeError where their count is another. */
export function matrix(rows: number, columns: number, values = new Float64Array(rows * columns)): Matrix {
  if (values.length !== rows * columns)
    throw new ShapeError(`matrix: got ${values.length} numbers, expected ${rows} x ${columns}`);
  return { rows, columns, values };
}

/** The matrix whose number in row i and column j is `at(i, j)`. */
export function fillMatrix(rows: number, columns: number, at: (i: number, j: number) => number): Matrix {
  const values = new Float64Array(rows * columns);
  for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < columns; j++, k++) values[k] = at(i, j);
  return { rows, columns, values };
}

export const identity = (n: number) => fillMatrix(n, n, (i, j) => (i === j ? 1 : 0));

export function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float64Array(values.length);
  // In squares, so that neither side strides through memory.
  const side = 32;
  for (let i0 = 0; i0 < rows; i0 += side)
    for (let j0 = 0; j0 < columns; j0 += side)
      for (let i = i0; i < Math.min(rows, i0 + side); i++)
        for (let j = j0; j < Math.min(columns, j0 + side); j++) turned[j * rows + i] = values[i * columns + j]!;
  return { rows: columns, columns: rows, values: turned };
}

/** A B. Throws ShapeError where their sizes do not meet. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  return multiplyTransposed(a, transpose(b));
}

/** How many numbers of two rows are multiplied before the next rows are: what stays in a core's first cache. */
const DEPTH = 256;

/** A Bᵀ: every product of a row of `a` with a row of `b`. Throws ShapeError where the rows differ in length. */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.columns)
    throw new ShapeError(`product: got rows of ${a.columns} and ${b.columns} numbers, expected as many in both`);
  const out = matrix(a.rows, b.rows);
  for (let k = 0; k < a.columns; k += DEPTH) {
    const to = Math.min(a.columns, k + DEPTH);
    for (let i = 0; i < a.rows; i += 4)
      for (let j = 0; j < b.rows; j += 4)
        if (i + 4 <= a.rows && j + 4 <= b.rows) addTile(out, a, b, i, j, k, to);
        else addEdge(out, a, b, i, j, k, to);
  }
  return out;
}

/** Adds the products of four rows with four, over columns from `k` up to `to`. Plain variables: V8 makes arrays of patterns here. */
function addTile(out: Matrix, a: Matrix, b: Matrix, i: number, j: number, k: number, to: number): void {
  const x = a.values;
  const y = b.values;
  const n = a.columns;
  const a0 = i * n;
  const a1 = a0 + n;
  const a2 = a1 + n;
  const a3 = a2 + n;
  const b0 = j * n;
  const b1 = b0 + n;
  const b2 = b1 + n;
  const b3 = b2 + n;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let s20 = 0;
  let s21 = 0;
  let s22 = 0;
  let s23 = 0;
  let s30 = 0;
  let s31 = 0;
  let s32 = 0;
  let s33 = 0;
  for (let at = k; at < to; at++) {
    const x0 = x[a0 + at]!;
    const x1 = x[a1 + at]!;
    const x2 = x[a2 + at]!;
    const x3 = x[a3 + at]!;
    const y0 = y[b0 + at]!;
    const y1 = y[b1 + at]!;
    const y2 = y[b2 + at]!;
    const y3 = y[b3 + at]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
    s20 += x2 * y0;
    s21 += x2 * y1;
    s22 += x2 * y2;
    s23 += x2 * y3;
    s30 += x3 * y0;
    s31 += x3 * y1;
    s32 += x3 * y2;
    s33 += x3 * y3;
  }
  const o = out.values;
  const m = out.columns;
  const at = i * m + j;
  o[at]! += s00;
  o[at + 1]! += s01;
  o[at + 2]! += s02;
  o[at + 3]! += s03;
  o[at + m]! += s10;
  o[at + m + 1]! += s11;
  o[at + m + 2]! += s12;
  o[at + m + 3]! += s13;
  o[at + 2 * m]! += s20;
  o[at + 2 * m + 1]! += s21;
  o[at + 2 * m + 2]! += s22;
  o[at + 2 * m + 3]! += s23;
  o[at + 3 * m]! += s30;
  o[at + 3 * m + 1]! += s31;
  o[at + 3 * m + 2]! += s32;
  o[at + 3 * m + 3]! += s33;
}

/** The same of up to four rows with up to four, where fewer are left. */
function addEdge(out: Matrix, a: Matrix, b: Matrix, i0: number, j0: number, k: number, to: number): void {
  const n = a.columns;
  for (let i = i0; i < Math.min(a.rows, i0 + 4); i++)
    for (let j = j0; j < Math.min(b.rows, j0 + 4); j++) {
      let sum = 0;
      for (let at = k; at < to; at++) sum += a.values[i * n + at]! * b.values[j * n + at]!;
      out.values[i * out.columns + j]! += sum;
    }
}

/** The rows of these numbers, in this order. */
export function pickRows(a: Matrix, rows: readonly number[]): Matrix {
  const out = matrix(rows.length, a.columns);
  rows.forEach((row, i) => {
    out.values.set(a.values.subarray(row * a.columns, (row + 1) * a.columns), i * a.columns);
  });
  return out;
}

/** Rows `from` up to `to`: the same memory. */
export function rowsOf(a: Matrix, from: number, to: number): Matrix {
  return { rows: to - from, columns: a.columns, values: a.values.subarray(from * a.columns, to * a.columns) };
}

/** Columns `from` up to `to`. */
export function columnsOf(a: Matrix, from: number, to: number): Matrix {
  return fillMatrix(a.rows, to - from, (i, j) => a.values[i * a.columns + from + j]!);
}

/** Matrices one below the other. Throws ShapeError where their columns differ in number. */
export function stackRows(...parts: readonly Matrix[]): Matrix {
  const columns = parts[0]!.columns;
  const odd = parts.find((part) => part.columns !== columns);
  if (odd) throw new ShapeError(`stack: got ${odd.columns} columns below ${columns}, expected as many`);
  const out = matrix(
    parts.reduce((sum, { rows }) => sum + rows, 0),
    columns,
  );
  let at = 0;
  for (const { values } of parts) {
    out.values.set(values, at);
    at += values.length;
  }
  return out;
}

export function scaleMatrix(a: Matrix, by: number): Matrix {
  return { ...a, values: a.values.map((x) => x * by) };
}

/** A with row i times `by[i]`. */
export function scaleRows(a: Matrix, by: ArrayLike<number>): Matrix {
  return fillMatrix(a.rows, a.columns, (i, j) => a.values[i * a.columns + j]! * by[i]!);
}

/** Square root of the sum of all squares. */
export function frobenius({ values }: Matrix): number {
  let sum = 0;
  for (const x of values) sum += x * x;
  return Math.sqrt(sum);
}

/** Square root of the sum of all squared differences. */
export function distance(a: Matrix, b: Matrix): number {
  return frobenius({ ...a, values: a.values.map((x, i) => x - b.values[i]!) });
}
