import { dataOf } from "../../device/float.ts";
import type { RouteKernel } from "./index.ts";
import { routeRows } from "./rows.ts";

export const routeReference: RouteKernel = (logits, choice, bias, out) =>
  routeRows(dataOf(logits), logits.shape[1]!, choice, dataOf(bias), dataOf(out));
