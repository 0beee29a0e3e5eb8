import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { fused, kernel, record, recorderOf } from "../op.ts";
import { contiguous } from "../pages/index.ts";
import { type Rotation, tableOf } from "./rotation.ts";

export { positionsOf, type Rotation, rotation } from "./rotation.ts";

/**
 * Rotates the last `2 pairs` numbers of each vector of `x` (`[rows, ..., e]`) by its row's angles and copies the rest.
 * `table` is `[rows, 2, pairs]`: cos, then sin. `sign` of -1 rotates back.
 */
export type RopeKernel = (x: Tensor, table: Tensor, layout: Rotation["layout"], sign: 1 | -1, out: Tensor) => void;

const launch = kernel("rope", { writes: [4] });
/** For rows on pages, where a device reads them there. */
const launchPaged = fused("ropePaged", { writes: [4] });

/**
 * Rotary position embedding of the last `2 * frequencies.length` dims of each vector; the first dims pass unchanged (partial
 * RoPE). `direction: "inverse"` turns back by the same angles (VO-RoPE: kexue.fm/archives/10862).
 * @param x `[rows, ..., e]`, which may lie on pages; @param positions one per row. Throws ShapeError.
 */
export function rope(
  x: Tensor,
  turn: Rotation,
  positions: Int32Array,
  direction: "forward" | "inverse" = "forward",
): Tensor {
  const e = x.shape.at(-1)!;
  if (positions.length !== x.shape[0])
    throw new ShapeError(`rope: got ${positions.length} positions, expected one for each of ${x.shape[0]} rows`);
  if (2 * turn.frequencies.length > e)
    throw new ShapeError(`rope: got ${2 * turn.frequencies.length} rotary dims, expected at most the width ${e}`);
  const { device } = x;
  const table = tableOf(device, turn, positions, recorderOf([x]) ? "lasting" : "passing");
  const output = new Tensor(device, x.shape);
  const sign = direction === "forward" ? 1 : -1;
  const paged = x.paging && launchPaged(device);
  if (paged) paged(x, table, turn.layout, sign, output);
  else launch(device)(contiguous(x), table, turn.layout, sign, output);
  return record({
    name: "rope",
    inputs: [x],
    output,
    saved: [],
    backward(g) {
      // A rotation's transpose is its inverse (the magnitude is a plain factor and stays).
      const dx = new Tensor(device, x.shape);
      launch(device)(g, table, turn.layout, sign === 1 ? -1 : 1, dx);
      return [dx];
    },
  });
}
