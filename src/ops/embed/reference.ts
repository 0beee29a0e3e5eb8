import { dataOf } from "../../device/float.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GatherKernel, Indices, ScatterKernel } from "./index.ts";

export const gatherReference: GatherKernel = (table, indices, out) => {
  const width = out.size / Math.max(1, indices.count);
  const [from, to] = [dataOf(table), dataOf(out).fill(0)];
  for (const { i, row } of located(table, indices)) {
    if (row === undefined) to.fill(Number.NaN, i * width, (i + 1) * width);
    else if (row >= 0) to.set(from.subarray(row * width, (row + 1) * width), i * width);
  }
};

export const scatterReference: ScatterKernel = (g, indices, out) => {
  const width = g.size / Math.max(1, indices.count);
  const [from, to] = [dataOf(g), dataOf(out)];
  for (const { i, row } of located(out, indices)) {
    if (row === undefined || row < 0) continue;
    for (let j = 0; j < width; j++) to[row * width + j]! += from[i * width + j]!;
  }
};

/** Each index with its row of the whole table: -1 for a negative one, undefined beyond the table. */
function* located(table: Tensor, { rows, count, parts }: Indices): Generator<{ i: number; row: number | undefined }> {
  const numbers = rows instanceof Int32Array ? rows : dataOf(rows);
  const perPart = table.shape[0]! / parts;
  for (let i = 0; i < count; i++) {
    const at = numbers[i]!;
    const row = at < perPart ? Math.floor(i / (count / parts)) * perPart + Math.trunc(at) : undefined;
    yield { i, row: at < 0 ? -1 : row };
  }
}
