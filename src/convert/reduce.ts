import { multiplyTransposed } from "./double.ts";
import { eigenSymmetric, leading } from "./eigen.ts";
import { columnsOf, type Matrix, matrix, rowsOf } from "./matrix.ts";

/** How MHA2MLA factors keys without position and values: together, each for itself, one of them alone, or not at all. */
export const factorings = ["joint", "split", "only_key", "only_value", "none"] as const;
export type Factoring = (typeof factorings)[number];

/** The `rank` leading left singular vectors of W, one a row, from the eigenvectors of W Wᵀ: [rank, rows]. All where W has no more. */
export function leftVectors(w: Matrix, rank: number): Matrix {
  return leading(eigenSymmetric(multiplyTransposed(w, w)), Math.min(rank, w.rows));
}

/**
 * A basis of the latent [keys | values], the first `keyRows` rows of `w` `[c, d]` being keys: its `rank` best directions by the
 * singular values of the weights, biases aside. Singular values of no use are eigenvalues of W Wᵀ near zero: what stands for them
 * is orthogonal to the rest all the same, so that full rank loses nothing.
 */
export function factorWeights(latent: Matrix, keyRows: number, rank: number, how: Factoring): Matrix {
  const w = columnsOf(latent, 0, latent.columns - 1);
  if (how === "joint") return leftVectors(w, rank);
  const [keys, values] = [rowsOf(w, 0, keyRows), rowsOf(w, keyRows, w.rows)];
  const part = (of: Matrix, cut: boolean) => leftVectors(of, cut ? rank : of.rows);
  return beside(
    part(keys, how === "split" || how === "only_key"),
    part(values, how === "split" || how === "only_value"),
  );
}

/** Two bases of spaces that have nothing in common as one of both. */
export function beside(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows + b.rows, a.columns + b.columns);
  const put = (from: Matrix, row: number, column: number) => {
    for (let i = 0; i < from.rows; i++)
      out.values.set(from.values.subarray(i * from.columns, (i + 1) * from.columns), (row + i) * out.columns + column);
  };
  put(a, 0, 0);
  put(b, a.rows, a.columns);
  return out;
}
