import { matrixOf, type PackedFormat, type Packing, SCALED } from "../../tensor/packing.ts";

// How the WebGPU device lays packed weights out.

/** Sizes of a packed tensor, and where the parts of a row begin, in 4-byte words. */
export interface Geometry {
  /** Rows of the matrix, numbers of a row, and words of a row. */
  readonly rows: number;
  readonly columns: number;
  readonly words: number;
  /** Where a row's upper bits begin (Q6_K), where its scales, and where these end. */
  readonly upper: number;
  readonly scales: number;
  readonly end: number;
  readonly bytes: number;
}

/**
 * The geometry of a tensor of this shape: rows as in a file, each of them numbers first (4 bits: a word holds columns 4 w to 4 w + 3
 * of its 32 in the lower halves of its bytes, 16 further ones in the upper), then upper bits (two words for 32 columns), then scales,
 * each begun on whole words. Scales are halves, two in a word; with a minimum beside it, one in a word; K quants have five words
 * for 256 columns (Q4_K: d and dmin, eight scales, eight minima; Q6_K: d, sixteen scales); F8_E4M3 has a float32 for 128.
 * Rows are filled up to 16 bytes with zeros. Throws ShapeError.
 */
export function packedGeometry(shape: readonly number[], packing: Packing): Geometry {
  const { rows, columns } = matrixOf(shape, packing);
  const { format } = packing;
  const upper = upTo4(Math.ceil((columns * bits[format]) / 32));
  const scales = upper + (format === "Q6_K" ? columns / 16 : 0);
  const end = scales + scaleWords(format, columns);
  const words = upTo4(end);
  return { rows, columns, words, upper, scales, end, bytes: 4 * rows * words };
}

/** Bits of a number, without scales and upper bits. */
const bits = { F32: 32, F16: 16, BF16: 16, F8_E4M3: 8, Q8_0: 8, Q4_0: 4, Q4_1: 4, Q4_K: 4, Q6_K: 4 } as const;

function scaleWords(format: PackedFormat, columns: number): number {
  switch (format) {
    case "F8_E4M3":
      return Math.ceil(columns / SCALED);
    case "Q8_0":
    case "Q4_0":
      return Math.ceil(columns / 64);
    case "Q4_1":
      return columns / 32;
    case "Q4_K":
    case "Q6_K":
      return (columns / 256) * 5;
    default:
      return 0;
  }
}

const upTo4 = (n: number) => 4 * Math.ceil(n / 4);
