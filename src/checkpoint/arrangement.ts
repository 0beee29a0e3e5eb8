import type { Rows, Source } from "../family/source.ts";
import { type Numbers, sizeOf } from "../tensor/tensor.ts";

/** One matrix of a source, where its tensors hold several. */
function matrixOf(source: Source): Source {
  return source.slices === undefined ? source : { ...source, slices: undefined, shape: source.shape.slice(1) };
}

/** How many rows a source's tensors have, and how wide they are. */
function rowsOf({ shape }: Source): [rows: number, width: number] {
  return shape.length < 2 ? [shape[0] ?? 1, 1] : [sizeOf(shape.slice(0, -1)), shape.at(-1)!];
}

/** Numbers that one matrix of a source contributes to its parameter. */
export function elementsOf(source: Source): number {
  const [out, width] = rowsOf(matrixOf(source));
  const { rows } = source;
  return (rows ? rows.count * (rows.to - rows.from) : out) * width;
}

/** The file's row for each of ours that comes from one tensor, matrix by matrix. */
export function rowNumbers(source: Source): Int32Array {
  const { slices = 1, rows } = source;
  const [out] = rowsOf(matrixOf(source));
  const { count, block, from, to, order }: Rows = rows ?? { count: 1, block: out, from: 0, to: out };
  const kept = to - from;
  const each = count * kept;
  const numbers = new Int32Array(slices * each);
  let at = 0;
  for (let slice = 0; slice < slices; slice++)
    for (let head = 0; head < count; head++) {
      const first = slice * out + head * block + from;
      for (let row = 0; row < kept; row++) numbers[at++] = first + (order ? order[row]! : row);
    }
  return numbers;
}

/** What a file holds of our number. */
const held = { exp: Math.exp, "-exp": (x: number) => -Math.exp(x) } as const;
/** The way back; NaN for what no number of ours is held as. */
const meant = { exp: Math.log, "-exp": (x: number) => Math.log(-x) } as const;

/**
 * Moves the rows that a source chooses between one matrix of a file and ours: from the file ("read") or into it ("write"). `ours`
 * holds exactly what is chosen; what else the file's matrix holds stays as it is. Where the file holds a function of our numbers,
 * that is what is moved; read from what cannot be one, a number is NaN.
 */
export function arrange(
  { file, ours }: { readonly file: Numbers; readonly ours: Numbers },
  source: Source,
  direction: "read" | "write",
): void {
  const matrix = matrixOf(source);
  const { layout, shape } = matrix;
  const [, width] = rowsOf(matrix);
  const at = rowNumbers(matrix);
  // Rows of `swapped` are counted along both leading axes.
  const [first = 1, second = 1] = shape;
  // Our element (row, column) lies at row * across + column * down.
  const [across, down] = layout === "transposed" ? [1, at.length] : [width, 1];
  for (let row = 0; row < at.length; row++) {
    const placed = layout === "swapped" ? (row % second) * first + Math.floor(row / second) : row;
    const [start, own] = [at[row]! * width, placed * across];
    if (matrix.holds) {
      const [read, write] = [meant[matrix.holds], held[matrix.holds]];
      for (let i = 0; i < width; i++)
        if (direction === "read") ours[own + i * down] = read(file[start + i]!);
        else file[start + i] = write(ours[own + i * down]!);
    } else if (direction === "read") for (let i = 0; i < width; i++) ours[own + i * down] = file[start + i]!;
    else for (let i = 0; i < width; i++) file[start + i] = ours[own + i * down]!;
  }
}

/** Moves one matrix's chosen rows from a file to another file's, as a parameter would be read from one and written into the other. */
export function transfer(
  from: { readonly file: Numbers; readonly source: Source },
  to: { readonly file: Numbers; readonly source: Source },
): void {
  const [here, there] = [matrixOf(from.source), matrixOf(to.source)];
  const [, width] = rowsOf(there);
  const alike = here.layout === there.layout && here.layout !== "swapped" && here.holds === there.holds;
  if (!alike || rowsOf(here)[1] !== width) {
    // A function of a number and its inverse lose nothing that float32 keeps.
    const ours = here.holds || there.holds ? new Float64Array(elementsOf(here)) : new Float32Array(elementsOf(here));
    arrange({ file: from.file, ours }, here, "read");
    arrange({ file: to.file, ours }, there, "write");
    return;
  }
  // Rows that stay rows need not be made columns and rows again.
  const [theirs, own] = [rowNumbers(here), rowNumbers(there)];
  for (const [i, row] of own.entries())
    to.file.set(from.file.subarray(theirs[i]! * width, (theirs[i]! + 1) * width), row * width);
}
