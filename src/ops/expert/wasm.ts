import { viewOf } from "../../device/address.ts";
import { planOf } from "../einsum/plan.ts";
import { contractWasm } from "../einsum/wasm.ts";
import type { ContractEachKernel, GroupKernel } from "./index.ts";
import { groupRows } from "./visit.ts";

/** Run by the host in the device's own memory: a number per token and expert is not worth code of its own. */
export const groupWasm: GroupKernel = (router, { rows, weights, ends }) =>
  groupRows(viewOf(router), viewOf(rows), viewOf(weights), viewOf(ends));

export const contractEachWasm: ContractEachKernel = (x, w, ends, out) => {
  const [, a = 0, b = 0] = w.shape;
  let from = 0;
  for (const [expert, end] of Float32Array.from(viewOf(ends)).entries()) {
    if (end === from) continue;
    const plan = planOf("t a, x a b -> t x b", [end - from, a], [1, a, b]);
    contractWasm(plan, x.rows(from, end), w.rows(expert, expert + 1), out.rows(from, end), "set");
    from = end;
  }
};
