import { viewOf } from "../../device/address.ts";
import type { RouteKernel } from "./index.ts";
import { routeRows } from "./rows.ts";

/** Run by the host in the device's own memory: a few dozen scores per token are not worth code of their own. */
export const routeWasm: RouteKernel = (logits, choice, bias, out) =>
  routeRows(viewOf(logits), logits.shape[1]!, choice, bias && viewOf(bias), viewOf(out));
