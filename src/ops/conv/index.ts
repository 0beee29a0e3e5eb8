import { ShapeError } from "../../tensor/error.ts";
import { Joined } from "../../tensor/joined.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { copy } from "../move/index.ts";
import { kernel, record, stateOf, tokensOf } from "../op.ts";
import { type Batch, eachSequence, lengthsOf } from "../sequence.ts";

/** What a convolution reads: sequences of `t` rows in x, taps `[..., width]`, and the width - 1 rows before the first. */
export interface Convolution {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly t: number;
  readonly before: Tensor | undefined;
}

/** out[t, c] = bias[c] + sum over k of w[c, k] x[t - width + 1 + k, c]. */
export type ConvKernel = (conv: Convolution, bias: Tensor | undefined, out: Tensor) => void;
/** Fills dx, dw and dbias (each where given) from the output's gradient `g`. */
export type ConvBackwardKernel = (
  conv: Convolution,
  g: Tensor,
  dx: Tensor | undefined,
  dw: Tensor | undefined,
  dbias: Tensor | undefined,
) => void;

const forward = kernel("conv", { writes: [2] });
const backward = kernel("convBackward", { writes: [2, 3, 4] });

/** What a convolution may have besides its taps. */
export interface ConvOptions {
  /** `[...channels]`, added to every row. */
  readonly bias?: Tensor | undefined;
  /** Sequences, one after the other along axis 0. */
  readonly batch?: Batch;
  /** `[width - 1, ...channels]`, for one sequence or for each of several: the rows before its first, oldest first (see `tail`). No gradient. */
  readonly before?: Tensor | undefined;
}

/**
 * Causal short convolution along the tokens, each channel by itself; rows before a sequence count as zeros unless given.
 * Source: Gu and Dao, "Mamba" (2023), section 3.4 (its conv1d, without the activation).
 * @param x `[batch t, ...channels]`.
 * @param w `[...channels, width]`, the last tap on the current token; width 2 to 8. Throws ShapeError.
 */
export function conv(x: Tensor, w: Tensor, { bias, batch = 1, before }: ConvOptions = {}): Tensor {
  if (typeof batch !== "number") return eachSequence(batch, (own) => conv(own(x), w, { bias, before: own(before) }));
  const { device } = x;
  const channels = x.shape.slice(1);
  const width = w.shape.at(-1)!;
  const t = tokensOf("conv", x, batch);
  if (!(width >= 2 && width <= 8)) throw new ShapeError(`conv: got ${width} taps, expected 2 to 8`);
  if (`${w.shape.slice(0, -1)}` !== `${channels}`)
    throw new ShapeError(`conv: w got [${w.shape}], expected [${[...channels, width]}]`);
  if (bias && `${bias.shape}` !== `${channels}`)
    throw new ShapeError(`conv: bias got [${bias.shape}], expected [${channels}]`);
  stateOf("conv before", before, [width - 1, ...channels], batch);
  const convolution = { x, w, t, before };
  const output = new Tensor(device, x.shape);
  forward(device)(convolution, bias, output);
  return record({
    name: "conv",
    inputs: [x, w, bias, before],
    output,
    saved: [],
    backward(g, wanted) {
      const [dx, dw, dbias] = [x, w, bias].map((t, i) => (t && wanted[i] ? new Tensor(device, t.shape) : undefined));
      backward(device)(convolution, g, dx, dw, dbias);
      return [dx, dw, dbias, undefined];
    },
  });
}

/**
 * The last width - 1 rows of `before` (zeros where absent) followed by `x`, as a new tensor `[width - 1, ...channels]`:
 * `before` of the next call. Not recorded.
 * @param x `[t, ...channels]`, one sequence. Throws ShapeError.
 */
export function tail(x: Tensor, before: Tensor | undefined, width: number): Tensor {
  const [t = 0, ...channels] = x.shape;
  const shape = [width - 1, ...channels];
  if (before && `${before.shape}` !== `${shape}`)
    throw new ShapeError(`tail: before got [${before.shape}], expected [${shape}]`);
  const output = new Tensor(x.device, shape);
  const old = Math.max(0, width - 1 - t);
  const rest = output.rows(0, old);
  if (before) copy(before.rows(width - 1 - old, width - 1), rest);
  else rest.write(new Float64Array(rest.size));
  copy(x.rows(t - (width - 1 - old), t), output.rows(old, width - 1));
  return output;
}

/** Makes of each sequence's `before` what it is for the next call (see `tail`), x being all that came meanwhile. Not recorded. */
export function keepTail(x: Tensor, before: Tensor, width: number, batch: Batch): void {
  let from = 0;
  for (const [i, n] of lengthsOf(x.shape[0]!, batch).entries()) {
    const own = before instanceof Joined ? before.each[i]! : before;
    const next = tail(x.rows(from, from + n), own, width);
    copy(next, own);
    next.free();
    from += n;
  }
}
