import type { WebgpuDevice } from "../../../device/webgpu.ts";
import type { Choosing } from "../../select/choose.wgsl.ts";
import type { AttendCall } from "../index.ts";
import { type Chooses, choosingBytes, choosingOf, mayChoose } from "./choosing.wgsl.ts";
import { rowsOf } from "./few.wgsl.ts";
import { tilesOf } from "./forward.wgsl.ts";
import { MATRIX_TILE, splitFor } from "./matrix.wgsl.ts";
import { PIECES } from "./pieces.wgsl.ts";
import { fitTile, foldedHeads, foursOf, lanesOf, operandsOf, type Tile, tileFor } from "./tile.wgsl.ts";

/** Staged tiles of a piece of keys at least, since a piece costs a row of results; so many workgroups as pieces keep a large GPU busy. */
const LEAST = 4;
/** Keys of what stands for a tile where nothing is staged. */
const BLOCK = 32;

/** How a call is shared out: tiles of each sequence and group of heads, keys of a piece, pieces, and all that there are of these. */
export interface Shares {
  readonly tile: Tile;
  readonly tiles: number;
  readonly per: number;
  readonly pieces: number;
  readonly all: number;
  /** Whether subgroups have each rows and a piece to themselves, and nothing is staged. */
  readonly alone: boolean;
  /** How subgroups share a tile whose products are those of their matrices, if they are. */
  readonly split?: ReturnType<typeof splitFor>;
  /** The choice of keys that workgroups make, if they do. */
  readonly choosing?: { readonly by: Choosing; readonly chooses: Chooses };
}

/** The shares of a call over `longest` keys. Throws DeviceError where workgroups have too little memory. */
export function sharesOf(device: WebgpuDevice, call: AttendCall, longest: number): Shares {
  const m = foldedHeads(call);
  const { keys, values } = operandsOf(call);
  const { width } = lanesOf([...keys, ...values]);
  const results = values.reduce((sum, { e }) => sum + Math.ceil(e / 4), 0);
  const pairs = { products: 1, fours: foursOf(keys), others: 2 };
  const rows = call.chosen ? m : call.t * m;
  const share = (tile: Tile, alone = false): Shares => {
    const tiles = tilesOf({ call, tile, m });
    const others = call.batch * (call.h / m) * tiles;
    const { per, pieces } = piecesOf(call, longest, others, alone ? BLOCK : 4 * tile.staged);
    return { tile, tiles, per, pieces, all: others * pieces, alone };
  };
  const by = choosingOf(device, call);
  const plain = by && fitTile(device, rows, width, results, pairs);
  // What is chosen takes memory, and leaves less for what is staged.
  const beside = plain && choosingBytes(share(plain).per);
  const tile = beside && fitTile(device, rows, width, results, { ...pairs, beside });
  const found = tile && share(tile);
  if (by && found && mayChoose(found.all, call.s))
    return { ...found, choosing: { by, chooses: { per: found.per, causal: by.call.causal } } };
  const few = rowsOf(call, m, device.traits);
  if (few) return share({ own: few / 4, staged: 1, parts: 1 }, true);
  const split = splitFor(call, m, device.traits);
  if (split) return { ...share(MATRIX_TILE), split };
  return share(tileFor(device, rows, width, results, pairs));
}

/** Pieces of the keys where there is too little else to share out: keys of each, whole tiles of `block`, and how many. */
function piecesOf({ chosen }: AttendCall, s: number, others: number, block: number) {
  const keys = chosen?.shape[1] ?? s;
  const most = Math.max(1, Math.floor(keys / (LEAST * block)));
  const wanted = Math.min(most, Math.max(1, Math.floor(PIECES / others)));
  const per = Math.max(1, Math.ceil(keys / wanted / block)) * block;
  return { per, pieces: Math.max(1, Math.ceil(keys / per)) };
}
