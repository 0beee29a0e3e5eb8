import type { Numbers } from "../../tensor/tensor.ts";

/** Fills rows, weights and ends (see `Visits`) from a router's weights of `ends.length` experts, in numbers of either precision. */
export function groupRows(router: Numbers, rows: Numbers, weights: Numbers, ends: Numbers): void {
  const x = ends.length;
  let at = 0;
  for (let expert = 0; expert < x; expert++) {
    for (let row = 0, from = expert; from < router.length; row++, from += x)
      if (router[from] !== 0) {
        rows[at] = row;
        weights[at++] = router[from]!;
      }
    ends[expert] = at;
  }
  rows.fill(-1, at);
  weights.fill(0, at);
}
