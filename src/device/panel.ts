import { matrixOf, type PackedFormat, type Packing, SCALED } from "../tensor/packing.ts";

// How the wasm device lays packed weights out: four rows interleaved, so that a vector's lanes are rows.

/** Rows of a panel: the lanes of a vector. */
export const LANES = 4;

/** A packing as this device knows it. */
export interface Panels extends Packing {
  /** Found while packing: some scale or weight is one that the integer or bit tricks of the fast kernels get wrong. */
  careful?: boolean;
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

const upTo = (n: number, step: number) => Math.ceil(n / step) * step;

/**
 * Bytes of a panel: four rows whose 4-byte words take turns, so that a vector's lanes are rows, and which is read from front to
 * back. Q8_0 and Q4_0: per two blocks their scales, then the quants; Q4_1 has its minima between. Q4_K: per super-block d and dmin, per run scales and minima,
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
    case "Q4_1":
      return Math.ceil(columns / 64) * (32 + 128);
    case "Q4_K":
      return (columns / 256) * (16 + 64 + 512);
    case "Q6_K":
      return (columns / 256) * (16 + 64 + 512 + 256);
  }
}

/** The geometry of a tensor of this shape. Throws ShapeError where axes are missing or blocks not whole. */
export function geometryOf(shape: readonly number[], packing: Packing): Geometry {
  const matrix = matrixOf(shape, packing);
  const { format, rows } = packing;
  const inner = shape[rows.at(-1)!]!;
  const groups = rows.slice(0, -1).reduce((n, axis) => n * shape[axis]!, 1);
  const panel = panelBytes(format, matrix.columns);
  const group = format === "F32" ? inner * matrix.columns * 4 : Math.ceil(inner / LANES) * panel;
  return { groups, inner, columns: matrix.columns, panel, group, bytes: groups * group };
}
