import { matrixOf, type Packing, rowBytes } from "../../tensor/packing.ts";

// How the WebGPU device lays packed weights out.

/** Sizes of a packed tensor. */
export interface Geometry {
  /** Rows of the matrix, numbers of a row, and 4-byte words of a row. */
  readonly rows: number;
  readonly columns: number;
  readonly words: number;
  readonly bytes: number;
}

/** The geometry of a tensor of this shape: rows as in a file, each begun on a whole word. Throws ShapeError. */
export function packedGeometry(shape: readonly number[], packing: Packing): Geometry {
  const { rows, columns } = matrixOf(shape, packing);
  const words = Math.ceil(rowBytes(packing.format, columns) / 4);
  return { rows, columns, words, bytes: 4 * rows * words };
}
