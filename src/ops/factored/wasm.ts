import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { unpaged } from "../attend/wasm.ts";
import type { FactoredCall, FactoredKernel } from "./index.ts";

/** Pieces of work that keep a few threads busy to the end; the same on every machine, so that results are too. */
const PIECES = 16;
/** Heads of a panel, and widths that fill whole tiles, in any build. */
const PANEL = 16;
/** Keys of the smallest block; blocks are multiples of it. */
const TILES = 12;
/** Floats of a block's factors and panels: what stays near the core. */
const NEAR = 16384;
/** Floats that a panel of queries takes for maxima, sums and masks, and the exponential for its constants. */
const STATE = 6 * PANEL;
const CONSTANTS = 32;
/** Queries up to which keys are cut into pieces. */
const FEW = 32;
/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;

/** How a call is cut up, in the words of attend (call.as.ts there). */
interface Plan {
  readonly block: number;
  readonly rowsPerPiece: number;
  readonly rowPieces: number;
  readonly keysPerPiece: number;
  readonly keyPieces: number;
}

export const factoredWasm: FactoredKernel = (call, out) => {
  if (out.size === 0) return;
  const { q, ak, bk, av, bv, batch, t, s, h, e, v, keyRank, valueRank, scale, causal, window } = call;
  const device = out.device as WasmDevice;
  const { block, rowsPerPiece, rowPieces, keysPerPiece, keyPieces } = planOf(call);
  const parts = keyPieces > 1 ? new Tensor(device, [batch * t * h * keyPieces, v + 2]) : undefined;
  // One group of h heads that share their keys, one term, one value; no sums of exponentials, no gradient.
  const args = [batch, t, s, h, scale, causal ? 1 : 0, window, h, 1, 1, 1, e, v, addressOf(out), 0];
  args.push(block, rowsPerPiece, rowPieces, keysPerPiece, keyPieces, addressOf(parts), 0, 0, 0);
  // No sinks, no stick-breaking, no choice.
  args.push(0, 0, 0, 0, 0, 0);
  args.push(e, 1, addressOf(bk), addressOf(q), 0, 0, 0, 1, ...unpaged, 0);
  args.push(v, 1, addressOf(bv), 0, 0, 0, 0, 1, ...unpaged, 1);
  for (const factor of [ak, bk, av, bv])
    args.push(addressOf(factor), factor.shape.length === 3 ? factor.size / (batch * s) : 0);
  args.push(keyRank, valueRank);
  const products = batch * t * s * h * (keyRank * e + valueRank * v);
  device.launch(parts ? ["attendFactored", "attendMerge"] : "attendFactored", args, products < ALONE ? 1 : undefined);
  parts?.free();
};

function planOf({ batch, t, s, h, e, v, keyRank, valueRank }: FactoredCall): Plan {
  const ranks = keyRank + valueRank;
  const wide = keyRank * e + valueRank * v;
  const block = Math.max(1, Math.min(8, Math.floor(NEAR / TILES / (wide + PANEL * (2 * ranks + 1))))) * TILES;
  // Of a block: factors of heads, products and weights, scores, values packed where their width fills no tiles.
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
  return { block, rowsPerPiece: perPiece * h, rowPieces, keysPerPiece, keyPieces };
}

/** A width filled up to whole tiles. */
function whole(width: number): number {
  return Math.ceil(width / PANEL) * PANEL;
}
