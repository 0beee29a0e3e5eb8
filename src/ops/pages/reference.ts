import { dataOf, type Floats } from "../../device/float.ts";
import { type CacheType, PAGE } from "../../tensor/page.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LoadKernel, StoreKernel } from "./index.ts";

/** Row `i` of a tensor on pages: float64, rounded when it was stored. */
function rowOf(paged: Tensor, i: number): Float64Array {
  const { pages, offset } = paged.paging!;
  const width = paged.size / paged.shape[0]!;
  const from = offset / 8 + (i % PAGE) * width;
  return (pages[Math.floor(i / PAGE)]!.block as Floats).data.subarray(from, from + width);
}

export const storePagesReference: StoreKernel = (from, paged, at, rows) => {
  from.forEach((all, part) => {
    let first = 0;
    rows.forEach((n, i) => {
      storeRows(all.rows(first, first + n), paged[part]![i]!, at[i]!);
      first += n;
    });
  });
};

function storeRows(from: Tensor, paged: Tensor, at: number): void {
  const { type, groups } = paged.paging!;
  const [n = 0] = from.shape;
  const width = from.size / n;
  for (let i = 0; i < n; i++)
    for (let g = 0; g < groups; g++) {
      const [begin, end] = [(g * width) / groups, ((g + 1) * width) / groups];
      const x = dataOf(from).subarray(i * width + begin, i * width + end);
      rowOf(paged, at + i).set(rounded(x, type), begin);
    }
}

export const loadPagesReference: LoadKernel = (paged, rows, out) => {
  const [n = 0] = out.shape;
  const width = out.size / n;
  const numbers = typeof rows === "number" ? undefined : dataOf(rows);
  for (let i = 0; i < n; i++) {
    const row = numbers ? Math.trunc(numbers[i]!) : (rows as number) + i;
    const to = dataOf(out).subarray(i * width, (i + 1) * width);
    if (row >= 0 && row < paged.shape[0]!) to.set(rowOf(paged, row));
    else to.fill(row < 0 ? 0 : Number.NaN);
  }
};

/** All numbers of a tensor, gathered where they lie on pages. */
export function numbersOf(x: Tensor): Float64Array {
  if (!x.paging) return dataOf(x);
  const numbers = new Float64Array(x.size);
  const [n = 0] = x.shape;
  for (let i = 0; i < n; i++) numbers.set(rowOf(x, i), (i * x.size) / n);
  return numbers;
}

/** What a type makes of numbers that share a scale. */
export function rounded(x: Float64Array, type: CacheType): Float64Array {
  if (type === "f32") return x;
  if (type === "bf16") return x.map(toBfloat16);
  const d = Math.fround(Math.fround(x.reduce((most, y) => Math.max(most, Math.abs(Math.fround(y))), 0)) / 127);
  return x.map((y) => {
    const q = d === 0 ? 0 : toWhole(Math.fround(Math.fround(y) / d));
    return Math.fround(q * d);
  });
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The nearest bfloat16, the even one of two as near. */
function toBfloat16(x: number): number {
  float[0] = x;
  if (Number.isNaN(x)) return x;
  word[0] = (word[0]! + 0x7fff + ((word[0]! >>> 16) & 1)) & 0xffff0000;
  return float[0];
}

/** The nearest whole number from -127 to 127, the even one of two as near. */
function toWhole(x: number): number {
  const near = Math.round(x);
  const even = near - x === 0.5 && near % 2 !== 0 ? near - 1 : near;
  // Whole numbers of 8 bits have no -0.
  return Math.max(-127, Math.min(127, even)) + 0;
}
