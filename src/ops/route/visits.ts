import type { Tensor } from "../../tensor/tensor.ts";

/** An expert that some tokens visit: which rows, in order, and with what weights. */
export interface Visit {
  readonly expert: number;
  readonly rows: Int32Array;
  readonly weights: Float64Array;
}

/** The experts that a router's weights `[t, x]` (see `route`) choose, in their order. */
export function visitsOf(weights: Tensor): Visit[] {
  const [t = 0, x = 0] = weights.shape;
  const numbers = weights.device.view(weights);
  const visits: Visit[] = [];
  for (let expert = 0; expert < x; expert++) {
    const rows: number[] = [];
    for (let row = 0; row < t; row++) if (numbers[row * x + expert] !== 0) rows.push(row);
    if (rows.length === 0) continue;
    const own = Float64Array.from(rows, (row) => numbers[row * x + expert]!);
    visits.push({ expert, rows: Int32Array.from(rows), weights: own });
  }
  return visits;
}
