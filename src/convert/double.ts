import { ShapeError } from "../tensor/error.ts";
import { binaries } from "./binary.ts";
import { type Matrix, matrix, transpose } from "./matrix.ts";

// The host of double.as.ts: operands are copied into its memory, results out of it, so that no matrix lies there between calls.

/** What the compiled module exports; places are bytes, counts numbers. */
interface Kernels {
  readonly memory: WebAssembly.Memory;
  product(a: number, b: number, out: number, panel: number, m: number, n: number, k: number, half: number): void;
  reduce(a: number, n: number, diagonal: number, beside: number, scales: number, p: number, w: number): void;
  turnBack(z: number, count: number, a: number, scales: number, n: number): void;
}

/** Memory that is kept for the next call; what needs more gets a module of its own. */
const KEPT = 256 * 2 ** 20;
const PAGE = 2 ** 16;
/** Numbers of a panel of four rows in `product`. */
const PANEL = 4 * 256;

/** The first number's place: below it lies what the compiler keeps (`--memoryBase` in scripts/kernels.ts, and no data). */
const START = 2048;

let kept: Kernels | undefined;
let compiled: WebAssembly.Module | undefined;

/** A module with room for so many numbers from `START` on. Throws ShapeError beyond 4 GiB. */
function kernelsFor(numbers: number): Kernels {
  compiled ??= compile();
  const kernels = kept ?? (new WebAssembly.Instance(compiled).exports as unknown as Kernels);
  const bytes = 8 * (START + numbers);
  if (bytes > PAGE * PAGE)
    throw new ShapeError(
      `product: got ${bytes} bytes of matrices, expected up to ${PAGE * PAGE}; convert a smaller layer`,
    );
  const missing = Math.ceil((bytes - kernels.memory.buffer.byteLength) / PAGE);
  if (missing > 0) kernels.memory.grow(missing);
  kept = bytes > KEPT ? undefined : kernels;
  return kernels;
}

/** The build with fused multiply-add where the machine takes it. */
function compile(): WebAssembly.Module {
  const bytes = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const relaxed = bytes(binaries.relaxed);
  return new WebAssembly.Module(WebAssembly.validate(relaxed) ? relaxed : bytes(binaries.simd));
}

const upTo = (n: number) => Math.ceil(n / 4) * 4;

/** A B. Throws ShapeError where their sizes do not meet. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  return multiplyTransposed(a, transpose(b));
}

/** A Bᵀ: every product of a row of `a` with a row of `b`. Throws ShapeError where the rows differ in length. */
export const multiplyTransposed = (a: Matrix, b: Matrix): Matrix => product(a, b, false);

/**
 * A M Aᵀ for a symmetric M, of which the lower half is read: symmetric to the last bit. With T that half, its diagonal by a half, it is
 * A Tᵀ Aᵀ and its transpose. Throws ShapeError where their sizes do not meet.
 */
export function multiplyAround(a: Matrix, m: Matrix): Matrix {
  return addTransposed(multiplyTransposed(multiplyHalf(a, m), a));
}

/** A Tᵀ for that half T of a symmetric matrix. Throws ShapeError where their sizes do not meet. */
export function multiplyHalf(a: Matrix, symmetric: Matrix): Matrix {
  if (symmetric.rows !== symmetric.columns)
    throw new ShapeError(`product: got ${symmetric.rows} x ${symmetric.columns}, expected a symmetric matrix`);
  return product(a, symmetric, true);
}

/** A square matrix and its transpose. */
export function addTransposed({ rows: n, values }: Matrix): Matrix {
  const sum = matrix(n, n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++)
      sum.values[i * n + j] = sum.values[j * n + i] = values[i * n + j]! + values[j * n + i]!;
  return sum;
}

function product(a: Matrix, b: Matrix, half: boolean): Matrix {
  if (a.columns !== b.columns)
    throw new ShapeError(`product: got rows of ${a.columns} and ${b.columns} numbers, expected as many in both`);
  const [m, n, k] = [upTo(a.rows), upTo(b.rows), a.columns];
  const kernels = kernelsFor(m * k + n * k + m * n + PANEL);
  const [atB, atOut, atPanel] = [START + m * k, START + (m + n) * k, START + (m + n) * k + m * n];
  const memory = new Float64Array(kernels.memory.buffer);
  memory.set(a.values, START);
  memory.fill(0, START + a.values.length, atB);
  memory.set(b.values, atB);
  memory.fill(0, atB + b.values.length, atOut);
  memory.fill(0, atOut, atPanel);
  kernels.product(8 * START, 8 * atB, 8 * atOut, 8 * atPanel, m, n, k, Number(half));
  if (n === b.rows) return matrix(a.rows, n, memory.slice(atOut, atOut + a.rows * n));
  const out = matrix(a.rows, b.rows);
  for (let i = 0; i < a.rows; i++) out.values.set(memory.subarray(atOut + i * n, atOut + i * n + b.rows), i * b.rows);
  return out;
}

/** Three diagonals and the reflections that led to them: see `reduce` in double.as.ts. */
export interface Reduced {
  readonly diagonal: Float64Array;
  /** Number k lies between k - 1 and k. */
  readonly beside: Float64Array;
  readonly reflections: Float64Array;
  readonly scales: Float64Array;
}

/** Reduces a symmetric matrix, of which the lower half is read, to three diagonals. */
export function reduce({ rows: n, values }: Matrix): Reduced {
  const kernels = kernelsFor(n * n + 5 * n);
  const memory = new Float64Array(kernels.memory.buffer);
  memory.set(values, START);
  const [diagonal, beside, scales, p, w] = [0, 1, 2, 3, 4].map((i) => START + n * n + i * n) as [
    number,
    number,
    number,
    number,
    number,
  ];
  memory.fill(0, diagonal, w + n);
  kernels.reduce(8 * START, n, 8 * diagonal, 8 * beside, 8 * scales, 8 * p, 8 * w);
  const take = (from: number, count: number) => memory.slice(from, from + count);
  return {
    diagonal: take(diagonal, n),
    beside: take(beside, n),
    scales: take(scales, n),
    reflections: take(START, n * n),
  };
}

/** Vectors of the three diagonals, one a row, as vectors of the matrix that was reduced. */
export function turnBack(vectors: Matrix, { reflections, scales }: Reduced): Matrix {
  const n = vectors.columns;
  const count = upTo(vectors.rows);
  const kernels = kernelsFor(count * n + n * n + n);
  const memory = new Float64Array(kernels.memory.buffer);
  const [atA, atScales] = [START + count * n, START + count * n + n * n];
  memory.set(vectors.values, START);
  memory.fill(0, START + vectors.values.length, atA);
  memory.set(reflections, atA);
  memory.set(scales, atScales);
  kernels.turnBack(8 * START, count, 8 * atA, 8 * atScales, n);
  return matrix(vectors.rows, n, memory.slice(START, START + vectors.rows * n));
}
