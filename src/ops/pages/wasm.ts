import { addressOf, type Place } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { ALIGN } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { type CacheType, PAGE, type Page } from "../../tensor/page.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";

/** The types as kernels know them (row.as.ts). */
export const typeNumber: Readonly<Record<CacheType, number>> = { f32: 0, bf16: 1, q8: 2 };

/** Numbers of pages, as kernels look them up: the pool is the whole memory, counted in the ALIGN bytes at which blocks begin. */
export function numbersOf(pages: readonly Page[]): Int32Array {
  const table = new Int32Array(pages.length);
  for (let i = 0; i < pages.length; i++) table[i] = (pages[i]!.block as Place).offset / ALIGN;
  return table;
}

export const storePagesWasm: StoreKernel = (from, paged, at) => {
  const device = from.device as WasmDevice;
  const { type, groups, offset, scales, pages } = paged.paging!;
  const [n = 0] = from.shape;
  if (n === 0) return;
  const first = Math.floor(at / PAGE);
  device.lend(numbersOf(pages.slice(first, Math.ceil((at + n) / PAGE))), (table) => {
    const args = [addressOf(from), table, at - first * PAGE, n, from.size / n];
    args.push(groups, typeNumber[type], offset, scales);
    device.launch("storePages", args, threadsFor(from.size));
  });
};

export const loadPagesWasm: LoadKernel = (paged, rows, out) => {
  const device = out.device as WasmDevice;
  const { type, groups, offset, scales, pages } = paged.paging!;
  const [n = 0] = out.shape;
  if (n === 0) return;
  const [first, numbers] = typeof rows === "number" ? [rows, 0] : [0, addressOf(rows)];
  device.lend(numbersOf(pages), (table) => {
    const args = [addressOf(out), table, first, n, out.size / n];
    args.push(groups, typeNumber[type], offset, scales, numbers, paged.shape[0]!);
    device.launch("loadPages", args, threadsFor(out.size));
  });
};
