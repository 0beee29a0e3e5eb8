import { ShapeError } from "./error.ts";
import { BF16, F8_E4M3, F16, F32, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./format.ts";
import { blocks, isQuant } from "./quant.ts";

const codes = { F32, F16, BF16, F8_E4M3, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K } as const;

/**
 * A format in which weights stay in memory, under its name in files. The bits of every number are those of the file; only
 * their order is the device's own.
 */
export type PackedFormat = keyof typeof codes;

export function isPackedFormat(name: string): name is PackedFormat {
  return Object.hasOwn(codes, name);
}

/** Bytes of a number in the formats that are no blocks (without F8_E4M3's scales, which lie elsewhere). */
const numbers = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1 } as const;

/** Columns under one scale of F8_E4M3, and rows in the file (DeepSeek-V3's weight_block_size). */
export const SCALED = 128;

/** How a weight lies in memory: as the matrix of its file, rows of columns, whose axes are some of the tensor's own. */
export interface Packing {
  readonly format: PackedFormat;
  /** Axes of the tensor that number the rows, outermost first, and those that run along a row. */
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** Number by which kernels know a format. */
export function codeOf(format: PackedFormat): number {
  return codes[format];
}

/** Bytes of one row of `columns` numbers in a file. Throws ShapeError where blocks are not whole. */
export function rowBytes(format: PackedFormat, columns: number): number {
  const { elements: each, bytes } = isQuant(format) ? blocks[format] : { elements: 1, bytes: numbers[format] };
  if (columns % each)
    throw new ShapeError(`${format}: got rows of ${columns} numbers, expected a multiple of the block ${each}`);
  return (columns / each) * bytes;
}

/** The matrix that a tensor of this shape is in its file. Throws ShapeError where axes are missing or blocks not whole. */
export function matrixOf(shape: readonly number[], { format, rows, columns }: Packing) {
  const axes = [...rows, ...columns].toSorted((a, b) => a - b);
  if (rows.length === 0 || axes.length !== shape.length || axes.some((axis, i) => axis !== i))
    throw new ShapeError(
      `packing: got rows [${rows}] and columns [${columns}], expected every axis of [${shape}] once`,
    );
  const product = (list: readonly number[]) => list.reduce((n, axis) => n * shape[axis]!, 1);
  const width = product(columns);
  rowBytes(format, width);
  return { rows: product(rows), columns: width };
}
