/** Rows `from` up to `to` of each of `count` blocks of `block` rows lying one after the other. */
export interface Rows {
  readonly count: number;
  readonly block: number;
  readonly from: number;
  readonly to: number;
  /** Where each of our rows lies among those: row i of ours is `from + order[i]`. As they lie unless given. */
  readonly order?: readonly number[] | undefined;
}

/** Where a parameter of ours lies in a checkpoint. */
export interface Source {
  /** One tensor, or several alike that are stacked along a new first axis (experts). */
  readonly tensors: readonly string[];
  /** The shape each has in the file: `[out, in]` for a matrix. All axes but the last count rows. */
  readonly shape: readonly number[];
  /** The tensor's first axis, where each of its parts is to be treated as a tensor of its own (experts in one tensor). */
  readonly slices?: number | undefined;
  /** All rows unless given. */
  readonly rows?: Rows | undefined;
  /**
   * Files hold matrices `[out, in]`; ours are `[in, out]`, so most are transposed once their rows are chosen. `swapped`: the two
   * leading axes of `[a, b, in]` change places.
   */
  readonly layout: "transposed" | "stored" | "swapped";
  /**
   * No matrix, whatever its shape: numbers that act one by one. They stay plain in memory and float32 in a file, and axes of one
   * number, which files write or leave out, count for nothing.
   */
  readonly plain?: true | undefined;
  /** Numbers of a matrix that the ops of its variant want plain in memory, in whatever type a file has them. */
  readonly unpacked?: true | undefined;
  /** The file holds e^x or -e^x of our numbers, as llama.cpp's have the rate of a decay. */
  readonly holds?: "exp" | "-exp" | undefined;
  /** Where the tensor holds 8-bit floats: each block `[out, in]` is multiplied by its number in the tensor with this suffix. */
  readonly scales?: Scales | undefined;
}

/** The scales of a matrix in 8-bit floats: `[out / block[0], in / block[1]]`, rounded up, under its name and a suffix. */
export interface Scales {
  readonly suffix: string;
  readonly block: readonly [number, number];
}

/** Parameters of ours and where each comes from. */
export type Sources = ReadonlyMap<string, Source>;

/** A linear layer's weight `[out, in]`, or some of its rows. */
export function linear(tensor: string, out: number, inputs: number, rows?: Rows): Source {
  return { tensors: [tensor], shape: [out, inputs], layout: "transposed", rows };
}

/** A gain or a bias `[n]`, or some of its elements. */
export function vector(tensor: string, n: number, rows?: Rows): Source {
  return { tensors: [tensor], shape: [n], layout: "stored", rows };
}

/** Numbers that act one by one, in the shape that the file gives them. */
export function numbers(tensor: string, shape: readonly number[], holds?: Source["holds"]): Source {
  return { tensors: [tensor], shape, layout: "stored", plain: true, holds };
}

/** Rows `from` up to `to` of each of `count` heads' blocks. */
export function perHead(count: number, block: number, from: number, to: number): Rows {
  return { count, block, from, to };
}
