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

/** Rows and columns `from` up to `to` of a square matrix. */
export const blockOf = (a: Matrix, from: number, to: number): Matrix => columnsOf(rowsOf(a, from, to), from, to);

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

/** The sum of the diagonal of a square matrix. */
export function trace({ rows, columns, values }: Matrix): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += values[i * columns + i]!;
  return sum;
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
