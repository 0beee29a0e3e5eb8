import type { GatherKernel, ScatterKernel } from "./index.ts";

export const gatherReference: GatherKernel = (table, ids, out) => {
  const width = table.size / table.shape[0]!;
  ids.forEach((id, i) => {
    out.data.set(table.data.subarray(id * width, (id + 1) * width), i * width);
  });
};

export const scatterReference: ScatterKernel = (g, ids, out) => {
  const width = out.size / out.shape[0]!;
  const [from, to] = [g.data, out.data];
  ids.forEach((id, i) => {
    for (let j = 0; j < width; j++) to[id * width + j]! += from[i * width + j]!;
  });
};
