import { ShapeError } from "./error.ts";
import { BF16, F8_E4M3, F16, F32, Q4_0, Q4_K, Q6_K, Q8_0 } from "./format.ts";
import { blocks, isQuant } from "./quant.ts";

const codes = { F32, F16, BF16, F8_E4M3, Q8_0, Q4_0, Q4_K, Q6_K } as const;

/**
 * A format in which weights stay in memory, under its name in files. The bits of every number are those of the file; only
 * their order differs (see `panelBytes`).
 */
export type PackedFormat = keyof typeof codes;

export function isPackedFormat(name: string): name is PackedFormat {
  return Object.hasOwn(codes, name);
}

/** Bytes of a number in the formats that are no blocks (without F8_E4M3's scales, which lie elsewhere). */
const numbers = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1 } as const;

/** Columns under one scale of F8_E4M3, and rows in the file (DeepSeek-V3's weight_block_size). */
export const SCALED = 128;
/** Rows of a panel: the lanes of a vector. */
export const LANES = 4;

/** How a weight lies in memory: as the matrix of its file, rows of columns, whose axes are some of the tensor's own. */
export interface Packing {
  readonly format: PackedFormat;
  /** Axes of the tensor that number the rows, outermost first, and those that run along a row. */
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** Found while packing: some scale or weight is one that the integer or bit tricks of the fast kernels get wrong. */
  careful: boolean;
}

/** Sizes of a packed tensor: `groups` times `inner` rows, each group's last panel filled up with rows of zeros. */
export interface Geometry {
  readonly groups: number;
  readonly inner: number;
  readonly columns: number;
  /** Bytes of four rows that lie interleaved. */
  readonly panel: number;
  /** Bytes of a group, and of the whole. */
  readonly group: number;
  readonly bytes: number;
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

const upTo = (n: number, step: number) => Math.ceil(n / step) * step;

/**
 * Bytes of a panel: four rows whose 4-byte words take turns, so that a vector's lanes are rows, and which is read from front to
 * back. Q8_0 and Q4_0: per two blocks their scales, then the quants. Q4_K: per super-block d and dmin, per run scales and minima,
 * a byte each, then the quants. Q6_K: d, per 16 columns the scales, low nibbles, upper pairs. F8_E4M3: per 128 columns four
 * float32 scales, then the numbers. F32 is not interleaved: four rows one after the other.
 */
export function panelBytes(format: PackedFormat, columns: number): number {
  switch (format) {
    case "F32":
      return 16 * columns;
    case "F16":
    case "BF16":
      return 8 * upTo(columns, 8);
    case "F8_E4M3":
      return Math.ceil(columns / SCALED) * (16 + 4 * SCALED);
    case "Q8_0":
      return Math.ceil(columns / 64) * (16 + 256);
    case "Q4_0":
      return Math.ceil(columns / 64) * (16 + 128);
    case "Q4_K":
      return (columns / 256) * (16 + 64 + 512);
    case "Q6_K":
      return (columns / 256) * (16 + 64 + 512 + 256);
  }
}

/** The geometry of a tensor of this shape. Throws ShapeError where axes are missing or blocks not whole. */
export function geometryOf(shape: readonly number[], { format, rows, columns }: Packing): Geometry {
  const axes = [...rows, ...columns].toSorted((a, b) => a - b);
  if (rows.length === 0 || axes.length !== shape.length || axes.some((axis, i) => axis !== i))
    throw new ShapeError(
      `packing: got rows [${rows}] and columns [${columns}], expected every axis of [${shape}] once`,
    );
  const product = (list: readonly number[]) => list.reduce((n, axis) => n * shape[axis]!, 1);
  const [inner, width] = [shape[rows.at(-1)!]!, product(columns)];
  const groups = product(rows.slice(0, -1));
  rowBytes(format, width);
  const panel = panelBytes(format, width);
  const group = format === "F32" ? inner * width * 4 : Math.ceil(inner / LANES) * panel;
  return { groups, inner, columns: width, panel, group, bytes: groups * group };
}
