import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { WHOLE_COLUMNS as PANEL, FUSED_ROWS as TILE } from "../einsum/size.ts";
import type { SelectCall, SelectKernel } from "./index.ts";
import { BINS, PART } from "./size.ts";
import * as slot from "./slot.ts";

/** Scores that a thread's memory holds. */
const MOST = SCRATCH_BYTES / 4;
/** Queries scored together, so that a panel of keys is lifted once for all of them; the same on any number of threads. */
const TOGETHER = 8;
/** Pieces of work that keep a few threads busy to the end. */
const PIECES = 16;
/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;

export const selectWasm: SelectKernel = (call, { rows, missing }) => {
  const { q, k, weights, batch, t, s, heads, width, scale, count, causal } = call;
  if (rows.size === 0) return;
  if (s > MOST) throw new DeviceError(`select: got ${s} keys, expected at most ${MOST} on wasm`);
  const widest = (PART / 4 - BINS) / PANEL - TILE;
  if (heads + width > widest)
    throw new DeviceError(`select: got ${heads} heads of ${width}, expected at most ${widest} together on wasm`);
  const args: number[] = [];
  args[slot.ROWS] = addressOf(rows);
  args[slot.MISSING] = addressOf(missing);
  args[slot.Q] = addressOf(q);
  args[slot.K] = addressOf(k);
  args[slot.WEIGHTS] = addressOf(weights);
  args[slot.BATCH] = batch;
  args[slot.T] = t;
  args[slot.S] = s;
  args[slot.HEADS] = heads;
  args[slot.WIDTH] = width;
  args[slot.SCALE] = scale;
  args[slot.COUNT] = count;
  args[slot.CAUSAL] = causal ? 1 : 0;
  args[slot.TOGETHER] = together(call);
  const products = batch * t * s * heads * width;
  (rows.device as WasmDevice).launch("select", args, products < ALONE ? 1 : undefined);
};

/** Queries of a piece: few enough for their scores to fit, and for all threads to have some. */
function together({ batch, t, s }: SelectCall): number {
  const fit = Math.floor(MOST / Math.max(PANEL, Math.ceil(s / PANEL) * PANEL));
  return Math.max(1, Math.min(TOGETHER, fit, Math.ceil((batch * t) / PIECES)));
}
