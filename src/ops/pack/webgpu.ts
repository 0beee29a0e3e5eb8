import { packedGeometry } from "../../device/gpu/geometry.ts";
import { groupsFor } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { rowBytes, SCALED } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { PackKernel } from "./index.ts";
import { repack } from "./repack.wgsl.ts";

/** Bytes of a file that are in memory at once, unless a row takes more, and rows of which one launch is told. */
const STAGED = 1 << 22;
const ROWS = 1 << 14;
/** Bytes that may be on their way to a device before it is waited for: the driver keeps a copy of each. */
const AHEAD = 1 << 26;

const ahead = new WeakMap<WebgpuDevice, number>();

export const packWebgpu: PackKernel = async (tensor, { read, at, scales = new Float32Array() }) => {
  const device = tensor.device as WebgpuDevice;
  const { format } = tensor.packing!;
  const { columns, words, upper, scales: from, end } = packedGeometry(tensor.shape, tensor.packing!);
  const bytes = rowBytes(format, columns);
  // What begins within a binding begins up to 256 bytes after it.
  const room = Math.min(STAGED, device.traits.binding - 512);
  const pieces = piecesOf(at, Math.floor(room / Math.max(bytes, 4 * words)));
  const most = Math.max(...pieces.map(({ low, high }) => high - low + 1)) * bytes;
  const staged = new Uint8Array(4 * Math.ceil(most / 4));
  const [staging, scale] = [new Tensor(device, [staged.length / 4 + 1]), new Tensor(device, [scales.length])];
  try {
    scale.write(scales);
    for (const { first, last, low, high } of pieces) {
      const length = (high - low + 1) * bytes;
      await read(low * bytes, staged.subarray(0, length));
      device.upload(staging, staged.subarray(0, 4 * Math.ceil(length / 4)));
      const to = { block: tensor.block, start: tensor.start + first * words, size: (last - first) * words };
      const numbers = { count: last - first, columns, words, upper, scales: from, end, row_bytes: bytes, low };
      device.launch(
        repack,
        { FORMAT: format },
        { from_file: staging, rows: at.subarray(first, last), scale: scales.length ? scale : undefined, to },
        { ...numbers, across: Math.ceil(columns / SCALED) },
        groupsFor(last - first),
      );
      await keepPace(device, length);
    }
  } finally {
    staging.free();
    scale.free();
  }
};

/** Waits for the device now and then. */
async function keepPace(device: WebgpuDevice, bytes: number): Promise<void> {
  const sum = (ahead.get(device) ?? 0) + bytes;
  ahead.set(device, sum > AHEAD ? 0 : sum);
  if (sum > AHEAD) await device.fence();
}

/** Runs of rows that lie within `most` rows of the file, or single ones: rows `first` to `last`, the file's `low` to `high`. */
function piecesOf(at: Int32Array, most: number) {
  const list: { first: number; last: number; low: number; high: number }[] = [];
  let open: (typeof list)[number] | undefined;
  at.forEach((row, i) => {
    const [low, high] = [Math.min(open?.low ?? row, row), Math.max(open?.high ?? row, row)];
    if (open && high - low < most && i - open.first < ROWS) Object.assign(open, { last: i + 1, low, high });
    else {
      open = { first: i, last: i + 1, low: row, high: row };
      list.push(open);
    }
  });
  return list;
}
