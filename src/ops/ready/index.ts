import { ShapeError } from "../../tensor/error.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { addFlops } from "../flops.ts";
import { rmsNorm } from "../norm/index.ts";
import { layerNorm } from "../norm/layer.ts";
import { fused, kernel } from "../op.ts";
import { outsOf } from "../products/index.ts";
import { type Rotation, rope } from "../rope/index.ts";
import { tableOf } from "../rope/rotation.ts";

/** Vectors `[rows, ..., e]` that are normed where they have a gain (of each number, or of each head's), then turned where asked. */
export interface Raw {
  readonly x: Tensor;
  readonly gain?: Tensor | undefined;
  /** `[e]`, beside a gain of as many: the norm is a layer's, which takes the mean away first and adds this at last. */
  readonly bias?: Tensor | undefined;
  readonly eps?: number | undefined;
  /** The last dims are turned by the row's position, unless this says false. */
  readonly turned?: boolean | undefined;
}

/** What a kernel is told of each of them: `rmsNorm`, or `layerNorm` where there is a bias, then `rope`. */
export interface Finish {
  readonly x: Tensor;
  readonly gain: Tensor | undefined;
  readonly bias: Tensor | undefined;
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
/** The same where a device knows the norm of a layer as well. */
const launchCentred = fused("readyCentred", { writes: [3] });

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
  const asked = list.map((raw) => raw && finishOf(raw, rotation));
  if (isRecorded(asked))
    return asked.map((one) => {
      if (!one) return undefined;
      const y = normed(one);
      return one.turned ? rope(y, rotation, positions) : y;
    }) as Each<L>;
  // Loops, since every layer of every token comes this way.
  const open: Finish[] = [];
  const shapes: (readonly number[])[] = [];
  let centred: ReadyKernel | undefined;
  for (let i = 0; i < asked.length; i++) {
    let one = asked[i];
    if (!one) continue;
    check(one, rotation, positions);
    if (one.bias) {
      const own = launchCentred(one.x.device);
      if (own) addFlops(2 * one.x.size * one.bias.size);
      else one = { ...one, gain: undefined, bias: undefined, x: normed(one) };
      centred ??= own;
      asked[i] = one;
    }
    if (!one.gain && !one.turned) continue;
    open.push(one);
    shapes.push(one.x.shape);
  }
  const [first] = open;
  if (!first) return asked.map((one) => one?.x) as Each<L>;
  const { device } = first.x;
  const outs = outsOf(first.x, shapes);
  (centred ?? launch(device))(open, tableOf(device, rotation, positions, "passing"), rotation.layout, outs);
  return asked.map((one) => one && (outs[open.indexOf(one)] ?? one.x)) as Each<L>;
}

/** Whether some operand is on a tape. */
function isRecorded(list: readonly (Finish | undefined)[]): boolean {
  for (const one of list) if (one && (one.x.recorder || one.gain?.recorder || one.bias?.recorder)) return true;
  return false;
}

function normed({ x, gain, bias, eps }: Finish): Tensor {
  if (gain && bias) return layerNorm(x, gain, bias, eps);
  return gain ? rmsNorm(x, gain, eps) : x;
}

function finishOf({ x, gain, bias, eps = 1e-6, turned = true }: Raw, { frequencies }: Rotation): Finish {
  return { x, gain, bias, eps, turned: turned && frequencies.length > 0 };
}

function check({ x, gain, bias, turned }: Finish, { frequencies }: Rotation, positions: Int32Array): void {
  const e = x.shape.at(-1)!;
  const turn = turned ? 2 * frequencies.length : 0;
  if ((gain || turn) && positions.length !== x.shape[0])
    throw new ShapeError(`ready: got ${positions.length} positions, expected one for each of ${x.shape[0]} rows`);
  if (turn > e) throw new ShapeError(`ready: got ${turn} rotary dims, expected at most the width ${e}`);
  if (gain && gain.size !== e && `${gain.shape}` !== `${x.shape.slice(-gain.shape.length)}`)
    throw new ShapeError(`ready: gain got [${gain.shape}], expected the last axes of [${x.shape}]`);
  if (bias && (x.shape.length !== 2 || gain?.size !== e || bias.size !== e))
    throw new ShapeError(
      `ready: a layer's norm got [${x.shape}] with a gain [${gain?.shape}] and a bias [${bias.shape}], expected rows and as many of both as a row has`,
    );
}
