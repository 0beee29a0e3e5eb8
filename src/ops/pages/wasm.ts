import { addressOf, type Place } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { ALIGN } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { type CacheType, PAGE, type Page, type Paging } from "../../tensor/page.ts";
import { BF16, F32, Q8 } from "../../tensor/pagination.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** Slots of one of several that are stored at once. */
const SLOTS = slot.SCALES_AT + 1;

/** The types as kernels know them. */
export const typeNumber: Readonly<Record<CacheType, number>> = { f32: F32, bf16: BF16, q8: Q8 };

/** The number of a page, as kernels look it up: the pool is the whole memory, counted in the ALIGN bytes at which blocks begin. */
export const numberOf = ({ block }: Page): number => (block as Place).offset / ALIGN;

export const storePagesWasm: StoreKernel = (from, paged, at, rows) => {
  const device = from[0]!.device as WasmDevice;
  // Parts of a sequence lie on the same pages.
  const tables = paged[0]!.map(({ paging }, i) => pagesFor(paging!, at[i]!, rows[i]!));
  const words = new Float64Array(from.length * rows.length * SLOTS);
  let numbers = 0;
  device.lend(Int32Array.from(tables.flat()), (base) => {
    let record = 0;
    from.forEach((all, part) => {
      const width = all.size / all.shape[0]!;
      let [row, table] = [0, base];
      rows.forEach((n, i) => {
        const args = argumentsOf(
          addressOf(all) + 4 * row * width,
          n,
          width,
          paged[part]![i]!.paging!,
          table,
          at[i]! % PAGE,
        );
        words.set(args, SLOTS * record++);
        row += n;
        table += 4 * tables[i]!.length;
      });
      numbers += row * width;
    });
    device.lend(new Int32Array(words.buffer), (first) => {
      const args: number[] = [];
      args[slot.STORES] = record;
      args[slot.FIRST_STORE] = first;
      args[slot.STORE_BYTES] = 8 * SLOTS;
      device.launch("storePages", args, threadsFor(numbers));
    });
  });
};

/** Numbers of the pages on which `n` rows from `at` on lie. */
function pagesFor({ pages }: Paging, at: number, n: number): number[] {
  const numbers: number[] = [];
  for (let page = Math.floor(at / PAGE); page * PAGE < at + n; page++) numbers.push(numberOf(pages[page]!));
  return numbers;
}

export const loadPagesWasm: LoadKernel = (paged, rows, out) => {
  const device = out.device as WasmDevice;
  const { pages } = paged.paging!;
  const [n = 0] = out.shape;
  if (n === 0) return;
  const [first, numbers] = typeof rows === "number" ? [rows, 0] : [0, addressOf(rows)];
  device.lend(Int32Array.from(pages, numberOf), (table) => {
    const args = argumentsOf(addressOf(out), n, out.size / n, paged.paging!, table, first);
    args[slot.NUMBERS] = numbers;
    args[slot.TOKENS] = paged.shape[0]!;
    device.launch("loadPages", args, threadsFor(out.size));
  });
};

/** The arguments of both: `n` plain rows of a width, and from row `first` on those on the pages that the table at an address lists. */
function argumentsOf(
  plain: number,
  n: number,
  width: number,
  { type, groups, offset, scales }: Paging,
  table: number,
  first: number,
): number[] {
  const args: number[] = [];
  args[slot.FLOATS] = plain;
  args[slot.TABLE] = table;
  args[slot.FIRST] = first;
  args[slot.ROWS] = n;
  args[slot.WIDTH] = width;
  args[slot.GROUPS] = groups;
  args[slot.TYPE] = typeNumber[type];
  args[slot.ROWS_AT] = offset;
  args[slot.SCALES_AT] = scales;
  return args;
}
