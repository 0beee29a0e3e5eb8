import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MultiplyBackwardKernel, MultiplyKernel, Spread } from "./index.ts";
import * as slot from "./slot.ts";

/** Rows up to this long are joined to rows of about this length. */
const SHORT = 512;
/** Most runs in which rows are summed into db. */
const RUNS = 16;

export const multiplyWasm: MultiplyKernel = (a, b, spread, out) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.A] = addressOf(a);
  args[slot.B] = addressOf(b);
  args[slot.OUTER] = spread.outer;
  args[slot.MIDDLE] = spread.middle;
  args[slot.INNER] = spread.inner;
  args[slot.REPEATS] = repeatsOf(spread);
  (out.device as WasmDevice).launch("multiply", args, threadsFor(a.size));
};

export const multiplyBackwardWasm: MultiplyBackwardKernel = (a, b, spread, g, da, db) => {
  if (!da && !db) return;
  const { outer, middle, inner } = spread;
  const repeats = repeatsOf(spread);
  // As many runs as shared memory holds, and no more than there are rows: by the shape alone.
  const fit = Math.floor(SHARED_BYTES / 4 / (middle * repeats));
  const runs = Math.max(1, Math.min(RUNS, fit, Math.ceil(outer / repeats)));
  const args: number[] = [];
  args[slot.OUT] = addressOf(da);
  args[slot.A] = addressOf(a);
  args[slot.B] = addressOf(b);
  args[slot.OUTER] = outer;
  args[slot.MIDDLE] = middle;
  args[slot.INNER] = inner;
  args[slot.REPEATS] = repeats;
  args[slot.G] = addressOf(g);
  args[slot.DB] = addressOf(db);
  args[slot.RUNS] = runs;
  (g.device as WasmDevice).launch(["multiplyBackward", "multiplyRuns"], args, threadsFor(a.size));
};

/** How many rows of `middle` numbers are taken as one. */
function repeatsOf({ outer, middle, inner }: Spread): number {
  return inner === 1 ? Math.max(1, Math.min(outer, Math.floor(SHORT / middle))) : 1;
}
