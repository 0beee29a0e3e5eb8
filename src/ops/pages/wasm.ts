import { addressOf, type Place } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { type CacheType, PAGE, type Page } from "../../tensor/page.ts";
import type { LoadKernel, PageMemory, StoreKernel } from "./index.ts";

/** The types as kernels know them (row.as.ts). */
export const typeNumber: Readonly<Record<CacheType, number>> = { f32: 0, bf16: 1, q8: 2 };

/** Addresses of pages, as kernels look them up. */
export function addressesOf(pages: readonly Page[]): Int32Array {
  const table = new Int32Array(pages.length);
  for (let i = 0; i < pages.length; i++) table[i] = (pages[i]!.block as Place).offset;
  return table;
}

export const storePagesWasm: StoreKernel = (from, paged, at) => {
  const device = from.device as WasmDevice;
  const { type, groups, offset, scales, pages } = paged.paging!;
  const [n = 0] = from.shape;
  if (n === 0) return;
  const first = Math.floor(at / PAGE);
  const table = device.stage(addressesOf(pages.slice(first, Math.ceil((at + n) / PAGE))));
  const args = [addressOf(from), table, at - first * PAGE, n, from.size / n];
  device.launch("storePages", [...args, groups, typeNumber[type], offset, scales], threadsFor(from.size));
};

export const loadPagesWasm: LoadKernel = (paged, rows, out) => {
  const device = out.device as WasmDevice;
  const { type, groups, offset, scales } = paged.paging!;
  const [n = 0] = out.shape;
  if (n === 0) return;
  const [first, numbers] = typeof rows === "number" ? [rows, 0] : [0, addressOf(rows)];
  const args = [addressOf(out), device.stage(addressesOf(paged.paging!.pages)), first, n, out.size / n];
  args.push(groups, typeNumber[type], offset, scales, numbers, paged.shape[0]!);
  device.launch("loadPages", args, threadsFor(out.size));
};

export const pageMemoryWasm: PageMemory = (device, { block }) => {
  const { buffer } = (device as WasmDevice).floats;
  return new Uint8Array(buffer, (block as Place).offset, block.elements * 4);
};
