import { addressOf, storageOf } from "../../device/address.ts";
import { geometryOf, LANES, type Panels } from "../../device/panel.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { codeOf, rowBytes, SCALED } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { FileRows, PackKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** Bytes of a file that are in memory at once, unless four rows and those between them take more. */
const STAGED = 1 << 20;

export const packWasm: PackKernel = async (tensor, source) => {
  const { format } = tensor.packing!;
  const { columns } = geometryOf(tensor.shape, tensor.packing!);
  if (format === "F32") await copyRows(tensor, columns * 4, source);
  else if (await interleave(tensor, source)) (tensor.packing as Panels).careful = true;
};

/** Reads rows to a staging buffer and has them interleaved from there. @returns whether a number needs care. */
async function interleave(tensor: Tensor, { read, at, scales = new Float32Array() }: FileRows): Promise<boolean> {
  const { format } = tensor.packing!;
  const device = tensor.device as WasmDevice;
  const { groups, inner, columns, panel } = geometryOf(tensor.shape, tensor.packing!);
  const bytes = rowBytes(format, columns);
  const pieces = spans(at, groups, inner, Math.floor(STAGED / bytes));
  const most = Math.max(...pieces.map(({ low, high }) => high - low + 1)) * bytes;
  // A word for the answer, the numbers of the rows, the scales, the rows.
  const staging = new Tensor(device, [16 + at.length + scales.length + Math.ceil(most / 4) + 4]);
  try {
    const [answer, numbers] = [addressOf(staging), addressOf(staging) + 64];
    const scalesAt = numbers + 4 * at.length;
    const rowsAt = scalesAt + 4 * scales.length;
    new Int32Array(device.bytes(numbers, 4 * at.length).buffer, numbers, at.length).set(at);
    device.floats.set(scales, scalesAt / 4);
    device.floats[answer / 4] = 0;
    for (const { first, end, low, high } of pieces) {
      await read(low * bytes, device.bytes(rowsAt, (high - low + 1) * bytes));
      const args: number[] = [];
      args[slot.TO] = storageOf(tensor) + first * panel;
      args[slot.FROM] = rowsAt;
      args[slot.FORMAT] = codeOf(format);
      args[slot.COLUMNS] = columns;
      args[slot.PANEL_BYTES] = panel;
      args[slot.ROW_BYTES] = bytes;
      args[slot.FIRST] = first;
      args[slot.END] = end;
      args[slot.INNER] = inner;
      args[slot.LOW] = low;
      args[slot.NUMBERS] = numbers;
      args[slot.SCALES] = scalesAt;
      args[slot.PER_ROW] = Math.ceil(columns / SCALED);
      args[slot.ANSWER] = answer;
      device.launch("repack", args, end - first < 8 ? 1 : undefined);
    }
    return device.floats[answer / 4] !== 0;
  } finally {
    staging.free();
  }
}

/** Runs of panels whose rows lie within `most` rows of the file, or single ones: panels `first` to `end`, rows `low` to `high`. */
function spans(at: Int32Array, groups: number, inner: number, most: number) {
  const list: { first: number; end: number; low: number; high: number }[] = [];
  const each = Math.ceil(inner / LANES);
  let open: (typeof list)[number] | undefined;
  for (let panel = 0; panel < groups * each; panel++) {
    const [group, row] = [Math.floor(panel / each), (panel % each) * LANES];
    const rows = at.subarray(group * inner + row, group * inner + Math.min(row + LANES, inner));
    const [low, high] = [Math.min(...rows), Math.max(...rows)];
    if (open && Math.max(open.high, high) - Math.min(open.low, low) < most)
      Object.assign(open, { end: panel + 1, low: Math.min(open.low, low), high: Math.max(open.high, high) });
    else {
      open = { first: panel, end: panel + 1, low, high };
      list.push(open);
    }
  }
  return list;
}

/** Rows of float32 lie as in the file: each run of neighbours is read to its place. */
async function copyRows(tensor: Tensor, bytes: number, { read, at }: FileRows): Promise<void> {
  const device = tensor.device as WasmDevice;
  for (let row = 0, end = 0; row < at.length; row = end) {
    for (end = row + 1; end < at.length && at[end] === at[end - 1]! + 1; end++);
    await read(at[row]! * bytes, device.bytes(storageOf(tensor) + row * bytes, (end - row) * bytes));
  }
}
