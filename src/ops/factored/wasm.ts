import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { combineWasm } from "../add/wasm.ts";
import * as slot from "../attend/slot.ts";
import { type Plan, tellCall } from "../attend/wasm.ts";
import { WHOLE_COLUMNS as PANEL, WHOLE_ROWS as TILES } from "../einsum/size.ts";
import type { FactoredCall, FactoredKernel } from "./index.ts";
import * as factored from "./slot.ts";

/** Pieces of work that keep a few threads busy to the end; the same on every machine, so that results are too. */
const PIECES = 16;
/** Floats of a block's factors and panels: what stays near the core. */
const NEAR = 16384;
/** Floats that a panel of queries takes for maxima, sums and masks, and the exponential for its constants. */
const STATE = 6 * PANEL;
const CONSTANTS = 32;
/** Queries up to which keys are cut into pieces. */
const FEW = 32;
/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;

export const factoredWasm: FactoredKernel = (call, out) => {
  if (out.size === 0) return;
  const { q, ak, bk, av, bv, batch, t, s, h, e, v, keyRank, valueRank } = call;
  const device = out.device as WasmDevice;
  const plan = planOf(call);
  const parts = plan.keyPieces > 1 ? new Tensor(device, [batch * t * h * plan.keyPieces, v + 2]) : undefined;
  // A call of attend as far as it goes: heads that share their keys, one term and one value.
  const [terms, values] = [[{ q, k: bk, e, g: 1 }], [{ v: bv, e: v, g: 1 }]];
  const args: number[] = [];
  tellCall(args, { ...call, terms, values }, plan, out, undefined);
  args[slot.PARTS] = addressOf(parts);
  args[factored.KEY_RANK] = keyRank;
  args[factored.VALUE_RANK] = valueRank;
  let at = factored.FACTORS;
  for (const factor of [ak, bk, av, bv]) {
    args[at + factored.FACTOR] = addressOf(factor);
    args[at + factored.STEP] = factor.shape.length === 3 ? factor.size / (batch * s) : 0;
    at += factored.PER_FACTOR;
  }
  const products = batch * t * s * h * (keyRank * e + valueRank * v);
  device.launch(parts ? ["attendFactored", "attendMerge"] : "attendFactored", args, products < ALONE ? 1 : undefined);
  parts?.free();
  if (call.times !== 1) combineWasm(call.times, out, 0, undefined, out);
};

function planOf({ batch, t, s, h, e, v, keyRank, valueRank }: FactoredCall): Plan {
  const ranks = keyRank + valueRank;
  const wide = keyRank * e + valueRank * v;
  const block = Math.max(1, Math.min(8, Math.floor(NEAR / TILES / (wide + PANEL * (2 * ranks + 1))))) * TILES;
  // Of a block: factors of heads, products and weights, scores, values in panels where their width fills no tiles.
  const room =
    SCRATCH_BYTES / 4 - CONSTANTS - block * (PANEL * (2 * ranks + 1) + valueRank * whole(v)) - 6 * PANEL - 6 * ranks;
  const query = Math.ceil(h / PANEL) * (STATE + PANEL * (e + whole(v)));
  const most = Math.floor(room / query);
  if (most < 1)
    throw new DeviceError("attendFactored: factors too wide for a thread's memory; use fewer or narrower heads");
  const perPiece = Math.min(most, Math.max(8, Math.ceil((batch * t) / PIECES)));
  const rowPieces = Math.ceil(t / perPiece);
  // Few queries, many keys: pieces of the keys, at least two blocks each, whose results are merged.
  const least = t <= FEW ? Math.floor(s / (2 * block)) : 1;
  const wanted = Math.max(1, Math.min(least, Math.ceil(PIECES / (batch * rowPieces))));
  const keysPerPiece = Math.max(1, Math.ceil(s / wanted / block)) * block;
  const keyPieces = Math.max(1, Math.ceil(s / keysPerPiece));
  return { m: h, block, rowsPerPiece: perPiece * h, rowPieces, keysPerPiece, keyPieces, few: false };
}

/** A width filled up to whole tiles. */
function whole(width: number): number {
  return Math.ceil(width / PANEL) * PANEL;
}
