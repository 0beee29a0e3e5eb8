import { addressOf, type Place } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { ALIGN } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { type CacheType, PAGE, type Page, type Paging } from "../../tensor/page.ts";
import { BF16, F32, Q8 } from "../../tensor/pagination.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** The types as kernels know them. */
export const typeNumber: Readonly<Record<CacheType, number>> = { f32: F32, bf16: BF16, q8: Q8 };

/** Numbers of pages, as kernels look them up: the pool is the whole memory, counted in the ALIGN bytes at which blocks begin. */
export function numbersOf(pages: readonly Page[]): Int32Array {
  const table = new Int32Array(pages.length);
  for (let i = 0; i < pages.length; i++) table[i] = (pages[i]!.block as Place).offset / ALIGN;
  return table;
}

export const storePagesWasm: StoreKernel = (from, paged, at) => {
  const device = from.device as WasmDevice;
  const { pages } = paged.paging!;
  const [n = 0] = from.shape;
  if (n === 0) return;
  const first = Math.floor(at / PAGE);
  device.lend(numbersOf(pages.slice(first, Math.ceil((at + n) / PAGE))), (table) => {
    const args = argumentsOf(from, paged.paging!, table, at - first * PAGE);
    device.launch("storePages", args, threadsFor(from.size));
  });
};

export const loadPagesWasm: LoadKernel = (paged, rows, out) => {
  const device = out.device as WasmDevice;
  const { pages } = paged.paging!;
  const [n = 0] = out.shape;
  if (n === 0) return;
  const [first, numbers] = typeof rows === "number" ? [rows, 0] : [0, addressOf(rows)];
  device.lend(numbersOf(pages), (table) => {
    const args = argumentsOf(out, paged.paging!, table, first);
    args[slot.NUMBERS] = numbers;
    args[slot.TOKENS] = paged.shape[0]!;
    device.launch("loadPages", args, threadsFor(out.size));
  });
};

/** The arguments of both: plain rows, and from row `first` on those on the pages that the table at an address lists. */
function argumentsOf(plain: Tensor, { type, groups, offset, scales }: Paging, table: number, first: number): number[] {
  const [n = 0] = plain.shape;
  const args: number[] = [];
  args[slot.FLOATS] = addressOf(plain);
  args[slot.TABLE] = table;
  args[slot.FIRST] = first;
  args[slot.ROWS] = n;
  args[slot.WIDTH] = plain.size / n;
  args[slot.GROUPS] = groups;
  args[slot.TYPE] = typeNumber[type];
  args[slot.ROWS_AT] = offset;
  args[slot.SCALES_AT] = scales;
  return args;
}
