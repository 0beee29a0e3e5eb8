import { ShapeError } from "../../tensor/error.ts";
import { matrixOf, SCALED } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../op.ts";

/** The rows of a matrix as they lie in a file, and which of them are wanted. */
export interface FileRows {
  /** Fills `into`, which may lie in shared memory, with the bytes from `offset` on. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** The file's row for each of the tensor's. */
  readonly at: Int32Array;
  /** F8_E4M3: float32 scales, one for each 128 rows of the file and 128 columns, row-major. */
  readonly scales?: Float32Array | undefined;
}

/** Fills a packed tensor from rows of a file; scales are those that its rows need. */
export type PackKernel = (tensor: Tensor, source: FileRows) => Promise<void>;

const launch = kernel("pack", { writes: [0] });

/**
 * Fills a packed tensor from the bytes of a file, a few MiB at a time. Throws ShapeError where rows or scales do not fit, and
 * what `read` throws.
 */
export async function pack(tensor: Tensor, source: FileRows): Promise<void> {
  const { at, scales = new Float32Array() } = source;
  const { rows, columns } = matrixOf(tensor.shape, tensor.packing!);
  if (at.length !== rows)
    throw new ShapeError(`pack: got ${at.length} rows of a file, expected ${rows} for [${tensor.shape}]`);
  if (at.length === 0 || columns === 0) return;
  const needed = tensor.packing!.format === "F8_E4M3" ? scalesFor(at, columns) : 0;
  if (scales.length < needed) throw new ShapeError(`F8_E4M3: got ${scales.length} scales, expected ${needed}`);
  await launch(tensor.device)(tensor, { ...source, scales: scales.subarray(0, needed) });
}

/** Scales up to those of the last of these rows. */
function scalesFor(at: Int32Array, columns: number): number {
  const last = at.reduce((most, row) => Math.max(most, row), 0);
  return Math.ceil(columns / SCALED) * (Math.floor(last / SCALED) + 1);
}
