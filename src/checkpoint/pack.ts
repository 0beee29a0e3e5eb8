import type { Source } from "../family/source.ts";
import type { TensorReader } from "../file/safetensors.ts";
import type { Parameter } from "../model/model.ts";
import { pack } from "../ops/pack/index.ts";
import { isPackedFormat, type PackedFormat, type Packing, SCALED } from "../tensor/packing.ts";
import { type Device, packedTensor, type Tensor } from "../tensor/tensor.ts";
import { rowNumbers } from "./arrangement.ts";

/** Which of a parameter's axes number the rows of its source's matrices, and which run along them. */
export interface Arrangement {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** What a source's matrices are to its parameter. A stack's first axis numbers the matrices. */
export function arrangementOf({ shape }: Parameter, source: Source): Arrangement {
  if (source.layout === "swapped") return { rows: [1, 0], columns: [2] };
  const axes = shape.map((_, i) => i);
  const width = source.shape.at(-1)!;
  const along: number[] = [];
  // The columns are as many of the axes, from the front or from the end, as make a row.
  const stacked = source.tensors.length > 1 || source.slices !== undefined;
  const order = source.layout === "transposed" ? axes.slice(stacked ? 1 : 0) : axes.toReversed();
  let product = 1;
  for (const axis of order) {
    if (product === width) break;
    if (shape[axis] === 1) continue;
    product *= shape[axis]!;
    along.push(axis);
  }
  return { rows: axes.filter((i) => !along.includes(i)), columns: along.toSorted((a, b) => a - b) };
}

/** How a parameter lies packed; undefined for a vector, for what is no matrix and for what is to be plain. What no format packs is packed as float32. */
export function packingOf(reader: TensorReader, parameter: Parameter, source: Source): Packing | undefined {
  if (source.plain || source.unpacked || parameter.shape.length < 2 || source.shape.length < 2) return undefined;
  return { format: formatOf(reader, source) ?? "F32", ...arrangementOf(parameter, source) };
}

/**
 * A parameter whose weights stay in memory as its tensors have them, read a few MiB at a time; what no format packs is packed as
 * the float32 numbers that `read` gives. Undefined for a vector.
 *
 * Errors: as `TensorReader.readBytes`, and DeviceError where memory is too small.
 */
export async function readPacked(
  reader: TensorReader,
  parameter: Parameter,
  source: Source,
  device: Device,
  read: (name: string, source: Source) => Promise<ArrayLike<number>>,
): Promise<Tensor | undefined> {
  const packing = packingOf(reader, parameter, source);
  if (!packing) return undefined;
  const format = formatOf(reader, source);
  const t = packedTensor(device, parameter.shape, packing);
  const at = rowNumbers(source);
  try {
    for (const [i, name] of source.tensors.entries()) {
      const part = source.tensors.length > 1 ? t.rows(i, i + 1) : t;
      const scales =
        source.scales && format === "F8_E4M3"
          ? Float32Array.from(await reader.read(`${name}${source.scales.suffix}`))
          : undefined;
      if (format) await pack(part, { read: (offset, into) => reader.readBytes(name, offset, into), at, scales });
      else {
        const values = Float32Array.from(await read(name, source));
        const bytes = new Uint8Array(values.buffer);
        await pack(part, { read: async (offset, into) => into.set(bytes.subarray(offset, offset + into.length)), at });
      }
    }
  } catch (error) {
    t.free();
    throw error;
  }
  return t;
}

/** The format that packs all of a source's tensors as they are, if there is one. */
function formatOf(reader: TensorReader, { tensors, scales }: Source): PackedFormat | undefined {
  const { dtype } = reader.entry(tensors[0]!);
  if (!isPackedFormat(dtype) || tensors.some((name) => reader.entry(name).dtype !== dtype)) return undefined;
  if (dtype === "F8_E4M3" && scales?.block.some((n) => n !== SCALED)) return undefined;
  return dtype;
}
