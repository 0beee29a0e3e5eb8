import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { rmsNorm } from "../norm/index.ts";
import { kernel, recorderOf } from "../op.ts";
import { type Rotation, rope } from "../rope/index.ts";
import { tableOf } from "../rope/rotation.ts";

/** Vectors `[rows, ..., e]` that are normed where they have a gain (of each number, or of each head's), then turned where asked. */
export interface Raw {
  readonly x: Tensor;
  readonly gain?: Tensor | undefined;
  readonly eps?: number | undefined;
  /** The last dims are turned by the row's position, unless this says false. */
  readonly turned?: boolean | undefined;
}

/** What a kernel is told of each of them: `rmsNorm`, then `rope`. */
export interface Finish {
  readonly x: Tensor;
  readonly gain: Tensor | undefined;
  readonly eps: number;
  readonly turned: boolean;
}

/** Fills each of `outs` with its vectors, normed and turned. `table` and `layout` as `RopeKernel` has them. */
export type ReadyKernel = (
  list: readonly Finish[],
  table: Tensor,
  layout: Rotation["layout"],
  outs: readonly Tensor[],
) => void;

const launch = kernel("ready", { writes: [3] });

/** Each of some, missing where it was. */
type Each<L extends readonly (Raw | undefined)[]> = {
  -readonly [I in keyof L]: L[I] extends Raw ? Tensor : Tensor | undefined;
};

/**
 * What projections gave, made ready for attention: normed, then turned, all in one launch where a device can. What is neither normed
 * nor turned stays the tensor that it is. Throws ShapeError.
 */
export function ready<const L extends readonly (Raw | undefined)[]>(
  { rotation, positions }: { readonly rotation: Rotation; readonly positions: Int32Array },
  ...list: L
): Each<L> {
  const all = list.map((raw) => raw && finishOf(raw, rotation));
  const open = all.filter((one) => one !== undefined).filter(({ gain, turned }) => gain || turned);
  if (recorderOf(open.flatMap(({ x, gain }) => [x, gain])))
    return all.map((one) => {
      if (!one) return undefined;
      const y = one.gain ? rmsNorm(one.x, one.gain, one.eps) : one.x;
      return one.turned ? rope(y, rotation, positions) : y;
    }) as Each<L>;
  const [first] = open;
  if (!first) return all.map((one) => one?.x) as Each<L>;
  for (const { x, gain, turned } of open) check(x, gain, turned ? rotation : undefined, positions);
  const { device } = first.x;
  const outs = open.map(({ x }) => new Tensor(device, x.shape));
  launch(device)(open, tableOf(device, rotation, positions, "passing"), rotation.layout, outs);
  return all.map((one) => one && (outs[open.indexOf(one)] ?? one.x)) as Each<L>;
}

function finishOf({ x, gain, eps = 1e-6, turned = true }: Raw, { frequencies }: Rotation): Finish {
  return { x, gain, eps, turned: turned && frequencies.length > 0 };
}

function check(x: Tensor, gain: Tensor | undefined, turn: Rotation | undefined, positions: Int32Array): void {
  const e = x.shape.at(-1)!;
  if (positions.length !== x.shape[0])
    throw new ShapeError(`ready: got ${positions.length} positions, expected one for each of ${x.shape[0]} rows`);
  if (turn && 2 * turn.frequencies.length > e)
    throw new ShapeError(`ready: got ${2 * turn.frequencies.length} rotary dims, expected at most the width ${e}`);
  if (gain && gain.size !== e && `${gain.shape}` !== `${x.shape.slice(-gain.shape.length)}`)
    throw new ShapeError(`ready: gain got [${gain.shape}], expected the last axes of [${x.shape}]`);
}
