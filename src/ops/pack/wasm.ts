import { addressOf, storageOf } from "../../device/address.ts";
import { geometryOf, LANES, type Panels } from "../../device/panel.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { codeOf, rowBytes, SCALED } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { FileRows, PackKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** Bytes of a file that are read at a time, unless four rows and those between them take more. */
const STAGED = 1 << 20;

export const packWasm: PackKernel = async (tensor, source) => {
  const { format } = tensor.packing!;
  const { columns } = geometryOf(tensor.shape, tensor.packing!);
  if (format === "F32") await copyRows(tensor, columns * 4, source);
  else if (await interleave(tensor, source)) (tensor.packing as Panels).careful = true;
};

/** Reads rows to a staging buffer and has them interleaved from there, while the next are read. @returns whether a number needs care. */
async function interleave(tensor: Tensor, { read, at, scales = new Float32Array() }: FileRows): Promise<boolean> {
  const { format } = tensor.packing!;
  const device = tensor.device as WasmDevice;
  const { groups, inner, columns, panel } = geometryOf(tensor.shape, tensor.packing!);
  const bytes = rowBytes(format, columns);
  const perRow = Math.ceil(columns / SCALED);
  const pieces = spans(at, groups, inner, Math.floor(STAGED / bytes));
  const most = upTo(Math.max(...pieces.map(({ low, high }) => high - low + 1)) * bytes);
  // A word for the answer, the numbers of the rows, the scales, zeros in place of a row, the rows of two pieces.
  const [numbers, scale, zeros] = [upTo(4 * at.length), upTo(4 * scales.length), upTo(bytes + 4 * perRow)];
  const staging = new Tensor(device, [(64 + numbers + scale + zeros + 2 * most) / 4]);
  const answer = addressOf(staging);
  const [numbersAt, scalesAt, zerosAt] = [answer + 64, answer + 64 + numbers, answer + 64 + numbers + scale];
  const rowsAt = (i: number) => zerosAt + zeros + (i % 2) * most;
  const fetch = (i: number): Promise<void> | undefined => {
    const piece = pieces[i];
    return piece && read(piece.low * bytes, device.bytes(rowsAt(i), (piece.high - piece.low + 1) * bytes));
  };
  let coming = fetch(0);
  try {
    new Int32Array(device.bytes(numbersAt, 4 * at.length).buffer, numbersAt, at.length).set(at);
    device.floats.set(scales, scalesAt / 4);
    device.floats[answer / 4] = 0;
    device.bytes(zerosAt, zeros).fill(0);
    for (const [i, { first, end, low }] of pieces.entries()) {
      await coming;
      coming = fetch(i + 1);
      const args: number[] = [];
      args[slot.TO] = storageOf(tensor) + first * panel;
      args[slot.FROM] = rowsAt(i);
      args[slot.FORMAT] = codeOf(format);
      args[slot.COLUMNS] = columns;
      args[slot.PANEL_BYTES] = panel;
      args[slot.ROW_BYTES] = bytes;
      args[slot.FIRST] = first;
      args[slot.END] = end;
      args[slot.INNER] = inner;
      args[slot.LOW] = low;
      args[slot.NUMBERS] = numbersAt;
      args[slot.SCALES] = scalesAt;
      args[slot.PER_ROW] = perRow;
      args[slot.ANSWER] = answer;
      args[slot.ZEROS] = zerosAt;
      device.launch("repack", args, end - first < 8 ? 1 : undefined);
    }
    return device.floats[answer / 4] !== 0;
  } finally {
    // What is still being read lies in the staging buffer.
    await coming?.catch(() => {});
    staging.free();
  }
}

/** Bytes up to the end of their cache line. */
const upTo = (bytes: number) => Math.ceil(bytes / 64) * 64;

/** Runs of panels whose rows lie within `most` rows of the file, or single ones: panels `first` to `end`, rows `low` to `high`. */
function spans(at: Int32Array, groups: number, inner: number, most: number) {
  const list: { first: number; end: number; low: number; high: number }[] = [];
  const each = Math.ceil(inner / LANES);
  let open: (typeof list)[number] | undefined;
  for (let panel = 0; panel < groups * each; panel++) {
    const row = (panel % each) * LANES;
    const start = Math.floor(panel / each) * inner;
    let [low, high] = [Number.POSITIVE_INFINITY, -1];
    for (let i = start + row; i < start + Math.min(row + LANES, inner); i++) {
      low = Math.min(low, at[i]!);
      high = Math.max(high, at[i]!);
    }
    if (open && Math.max(open.high, high) - Math.min(open.low, low) < most) {
      open.end = panel + 1;
      open.low = Math.min(open.low, low);
      open.high = Math.max(open.high, high);
    } else {
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
