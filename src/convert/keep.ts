import { type Matrix, matrix, rowsOf, stackRows } from "./matrix.ts";
import type { Explained } from "./method.ts";
import type { Inputs } from "./moment.ts";
import type { Portrait } from "./portrait.ts";
import { Spectrum } from "./subspace.ts";

// How what is known of a layer is kept on the disk: as matrices by name, of symmetric ones a half.

/** Matrices by name. */
export type Kept = Readonly<Record<string, Matrix>>;

/** Whether all numbers are some. */
export const isSound = (of: Kept): boolean => Object.values(of).every(({ values }) => values.every(Number.isFinite));

/** Half of a symmetric matrix, row by row up to the diagonal, as one row: what is kept of it. */
export function halfOf({ rows: n, values }: Matrix): Matrix {
  const half = matrix(1, (n * (n + 1)) / 2);
  for (let i = 0, at = 0; i < n; i++) {
    half.values.set(values.subarray(i * n, i * n + i + 1), at);
    at += i + 1;
  }
  return half;
}

/** The symmetric matrix of a half. */
export function wholeOf({ columns, values }: Matrix): Matrix {
  const n = Math.round((Math.sqrt(8 * columns + 1) - 1) / 2);
  const whole = matrix(n, n);
  for (let i = 0, at = 0; i < n; i++)
    for (let j = 0; j <= i; j++, at++) {
      whole.values[i * n + j] = values[at]!;
      whole.values[j * n + i] = values[at]!;
    }
  return whole;
}

const rowOf = (values: Float64Array) => matrix(1, values.length, Float64Array.from(values));

/** A layer's inputs as they are kept. */
export const keepInputs = ({ all, read, weight, sharpness }: Inputs): Kept => ({
  all: halfOf(all),
  read: halfOf(read),
  weight: rowOf(Float64Array.of(weight)),
  sharpness: rowOf(sharpness),
});

export const inputsKept = (of: Kept): Inputs => ({
  all: wholeOf(of.all!),
  read: wholeOf(of.read!),
  weight: of.weight!.values[0]!,
  sharpness: of.sharpness!.values,
});

/** A layer's portrait as it is kept. */
export const keepPortrait = ({ held, queries, outputs, spread, weight }: Portrait): Kept => ({
  held: halfOf(held),
  queries: stackRows(...queries),
  outputs: stackRows(...outputs),
  spread: rowOf(spread),
  weight: rowOf(Float64Array.of(weight)),
});

export function portraitKept(of: Kept): Portrait {
  const parts = (all: Matrix) => {
    const n = all.columns;
    return Array.from({ length: all.rows / n }, (_, i) => rowsOf(all, i * n, (i + 1) * n));
  };
  return {
    held: wholeOf(of.held!),
    queries: parts(of.queries!),
    outputs: parts(of.outputs!),
    spread: of.spread!.values,
    weight: of.weight!.values[0]!,
  };
}

/** A layer's spectrum as it is kept. */
export const keepExplained = ({ spectrum: { explained, whole }, mean }: Explained): Kept => ({
  explained: rowOf(explained),
  down: whole.down,
  up: whole.up,
  ...(mean && { mean: rowOf(mean) }),
});

export const explainedKept = ({ explained, down, up, mean }: Kept): Explained => ({
  spectrum: new Spectrum(explained!.values, { down: down!, up: up! }),
  mean: mean?.values,
});
