import { ShapeError } from "../../tensor/error.ts";
import { type Device, type Tensor, tensor, unscoped } from "../../tensor/tensor.ts";

/**
 * How positions become angles. Pair i turns by `position * frequencies[i]`. `interleaved` pairs are (2i, 2i + 1), as in
 * DeepSeek's MLA; `half` pairs are (i, i + r/2), as in Llama. `magnitude` multiplies cos and sin (YaRN's mscale).
 */
export interface Rotation {
  readonly frequencies: Float64Array;
  readonly layout: "interleaved" | "half";
  readonly magnitude: number;
  /** Positions from `from` on turn by these instead (LongRoPE): by where a token stands, so that any chunking gives the same. */
  readonly beyond?: { readonly from: number; readonly frequencies: Float64Array };
}

/**
 * The standard rotation of `dims` dimensions: frequency i is base^(-2i / dims).
 * Source: Su et al., "RoFormer" (2021), section 3.2. Throws ShapeError where dims is odd.
 */
export function rotation(dims: number, base = 10000, layout: Rotation["layout"] = "interleaved"): Rotation {
  if (dims % 2 || dims < 0)
    throw new ShapeError(`rotary dims r: got ${dims}, expected an even number; choose ${dims + 1}`);
  return {
    frequencies: Float64Array.from({ length: dims / 2 }, (_, i) => base ** ((-2 * i) / dims)),
    layout,
    magnitude: 1,
  };
}

/** Positions 0 .. length-1 after `start`, for each of `batch` sequences laid one after the other. */
export function positionsOf(start: number, length: number, batch = 1): Int32Array {
  return Int32Array.from({ length: batch * length }, (_, i) => start + (i % length));
}

const tables = new WeakMap<Int32Array, { device: Device; turn: string; table: Tensor }[]>();

/**
 * cos then sin of every pair's angle at each position, `[positions, 2, pairs]`. A `lasting` table is kept as long as the same
 * array of positions is used, since training asks for the same ones at every layer and step; another goes with its scope. Layers
 * whose rotations hold the same numbers share one.
 */
export function tableOf(device: Device, turn: Rotation, positions: Int32Array, use: "lasting" | "passing"): Tensor {
  const known = (tables.get(positions) ?? []).filter(({ table }) => !table.freed);
  const all = textOf(turn);
  const entry = known.find((k) => k.device === device && k.turn === all);
  if (entry) return entry.table;
  const pairs = turn.frequencies.length;
  const values = new Float64Array(positions.length * 2 * pairs);
  positions.forEach((position, row) => {
    const { beyond } = turn;
    const frequencies = beyond && position >= beyond.from ? beyond.frequencies : turn.frequencies;
    for (let i = 0; i < pairs; i++) {
      const angle = position * frequencies[i]!;
      values[row * 2 * pairs + i] = Math.cos(angle) * turn.magnitude;
      values[(row * 2 + 1) * pairs + i] = Math.sin(angle) * turn.magnitude;
    }
  });
  const lasting = use === "lasting" || !device.owner;
  const make = () => tensor(device, [positions.length, 2, pairs], values);
  // Outside every scope it outlives the step that asked for it first, and goes when the positions do.
  const table = lasting ? unscoped(device, make) : make();
  tables.set(positions, [...known, { device, turn: all, table }]);
  if (lasting) dropped.register(positions, table);
  return table;
}

const texts = new WeakMap<Rotation, string>();

/** All that is in a rotation, whatever fields it has: what two of them have one table by. Worked out once for each. */
function textOf(turn: Rotation): string {
  const text = texts.get(turn) ?? JSON.stringify(turn);
  texts.set(turn, text);
  return text;
}

const dropped = new FinalizationRegistry<Tensor>((table) => table.free());
