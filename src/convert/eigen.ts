import { ShapeError } from "../tensor/error.ts";
import { reduce, turnBack } from "./double.ts";
import { type Matrix, matrix, rowsOf } from "./matrix.ts";
import { eigenTridiagonal } from "./tridiagonal.ts";

/** Eigenvalues, largest first, and vectors of length 1 of the first of them, each a row of `vectors`. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Matrix;
}

/**
 * All eigenvalues of a symmetric matrix, of which the lower half is read, and the vectors of the `count` largest. Householder's reduction
 * to three diagonals (Golub and Van Loan, "Matrix Computations", section 8.3.1), which are divided and conquered: vectors are
 * orthogonal to rounding whatever the values, values right to rounding of the largest. Some 5 n³ FLOPs, and 4 n² numbers. Throws
 * ShapeError for a matrix that is not square, or holds what is no number.
 */
export function eigenSymmetric(a: Matrix, count = a.rows): Eigen {
  const n = a.rows;
  if (n !== a.columns) throw new ShapeError(`eigen: got ${n} x ${a.columns}, expected as many rows as columns`);
  if (!a.values.every(Number.isFinite))
    throw new ShapeError("eigen: got a number that is none, expected finite numbers; the weights are damaged");
  const reduced = reduce(a);
  const { values, vectors } = eigenTridiagonal(reduced.diagonal, reduced.beside);
  const first = matrix(Math.min(count, n), n);
  for (let i = 0; i < first.rows; i++) first.values.set(vectors.values.subarray((n - 1 - i) * n, (n - i) * n), i * n);
  return { values: values.reverse(), vectors: turnBack(first, reduced) };
}

/** The vectors of the `count` largest eigenvalues, one a row. */
export function leading({ vectors }: Eigen, count: number): Matrix {
  return rowsOf(vectors, 0, count);
}
