import { dataOf } from "../../device/float.ts";
import { normReference } from "../norm/reference.ts";
import { ropeReference } from "../rope/reference.ts";
import type { ReadyKernel } from "./index.ts";

export const readyReference: ReadyKernel = (list, table, layout, outs) => {
  list.forEach(({ x, gain, eps, turned }, i) => {
    const out = outs[i]!;
    if (gain) normReference(x, gain, eps, out);
    else dataOf(out).set(dataOf(x));
    if (turned) ropeReference(out, table, layout, 1, out);
  });
};
