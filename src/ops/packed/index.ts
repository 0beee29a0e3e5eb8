import type { WasmDevice } from "../../device/wasm.ts";
import { ShapeError } from "../../tensor/error.ts";
import { codeOf, geometryOf, LANES, rowBytes, SCALED } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The rows of a matrix as they lie in a file, and which of them are wanted. */
export interface FileRows {
  /** Fills `into`, which may lie in shared memory, with the bytes from `offset` on. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Of each block of `block` rows those `from` up to `to`. */
  readonly block: number;
  readonly from: number;
  readonly to: number;
  /** F8_E4M3: float32 scales, one for each 128 rows of the file and 128 columns, row-major. */
  readonly scales?: Float32Array;
}

/** Bytes of a file that are in memory at once, unless four rows take more. */
const STAGED = 4 << 20;

/**
 * Fills a packed tensor from the bytes of a file, a few MiB at a time. Its rows, in their order, are those wanted of the file.
 * Throws ShapeError where scales do not fit, and what `read` throws.
 */
export async function pack(tensor: Tensor, source: FileRows): Promise<void> {
  const packing = tensor.packing!;
  const device = tensor.device as WasmDevice;
  const { groups, inner, columns, panel } = geometryOf(tensor.shape, packing);
  const bytes = rowBytes(packing.format, columns);
  const kept = source.to - source.from;
  const at = (row: number) => Math.floor(row / kept) * source.block + source.from + (row % kept);
  if (packing.format === "F32") {
    await fill(device, tensor.storage, groups * inner, bytes, source);
    return;
  }
  const perRow = Math.ceil(columns / SCALED);
  const needed = packing.format === "F8_E4M3" ? perRow * Math.ceil((at(groups * inner - 1) + 1) / SCALED) : 0;
  if ((source.scales?.length ?? 0) < needed)
    throw new ShapeError(`F8_E4M3: got ${source.scales?.length ?? 0} scales, expected ${needed}`);
  const each = Math.ceil(inner / LANES);
  /** First row of a panel, and the row after its last. */
  const ends = (p: number): [number, number] => {
    const row = Math.floor(p / each) * inner + (p % each) * LANES;
    return [row, Math.min(row + LANES, (Math.floor(p / each) + 1) * inner)];
  };
  const span = (first: number, last: number) => at(ends(last)[1] - 1) + 1 - at(ends(first)[0]);
  const panels = groups * each;
  let most = STAGED;
  for (let p = 0; p < panels; p++) most = Math.max(most, span(p, p) * bytes);
  const head = 64 + 4 * needed;
  const staging = new Tensor(device, [Math.ceil((head + Math.min(most, span(0, panels - 1) * bytes) + 16) / 4)]);
  try {
    const word = new Int32Array(device.bytes(staging.address, 4).buffer, staging.address, 1);
    word[0] = 0;
    if (needed) device.floats.set(source.scales!.subarray(0, needed), (staging.address + 64) / 4);
    for (let first = 0; first < panels; ) {
      let end = first + 1;
      while (end < panels && span(first, end) * bytes <= most) end++;
      const row = at(ends(first)[0]);
      const into = device.bytes(staging.address + head, span(first, end - 1) * bytes);
      await source.read(row * bytes, into);
      const to = tensor.storage + first * panel;
      const args = [to, staging.address + head, codeOf(packing.format), columns, panel, bytes, first, end, inner];
      args.push(row, source.block, source.from, kept, staging.address + 64, perRow, staging.address);
      device.launch("repack", args);
      first = end;
    }
    if (Atomics.load(word, 0)) packing.careful = true;
  } finally {
    staging.free();
  }
}

/** Rows of float32 lie as in the file: each run of wanted rows is read to its place. */
async function fill(device: WasmDevice, to: number, rows: number, bytes: number, source: FileRows): Promise<void> {
  const kept = source.to - source.from;
  const run = kept === source.block ? rows : kept;
  for (let row = 0; row < rows; row += run) {
    const from = Math.floor(row / kept) * source.block + source.from;
    await source.read(from * bytes, device.bytes(to + row * bytes, Math.min(run, rows - row) * bytes));
  }
}
