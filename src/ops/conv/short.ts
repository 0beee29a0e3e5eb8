import { Tensor } from "../../tensor/tensor.ts";
import { scaleBy } from "../add/index.ts";
import { map } from "../map/index.ts";
import { rmsNorm } from "../norm/index.ts";
import { fused, recorderOf } from "../op.ts";
import { type Batch, lengthsOf, ownsOf } from "../sequence.ts";
import { conv, keepTail } from "./index.ts";

/** Rows `[t, h, n]` that go through a short convolution and silu, and then to unit length where asked. */
export interface Short {
  readonly x: Tensor;
  /** Taps `[h, n, width]`, and `[h, n]` that is added. */
  readonly w: Tensor;
  readonly bias?: Tensor | undefined;
  /** `[width - 1, h, n]`: the rows before the first (see `conv`), which becomes what it is for the next call. */
  readonly before?: Tensor | undefined;
  /** Whether vectors x become x / sqrt(sum of x^2 + 1e-6). */
  readonly unit?: boolean | undefined;
}

/** Fills each of `outs` with the rows of one sequence, and takes every `before` on. */
export type ShortKernel = (list: readonly Short[], outs: readonly Tensor[]) => void;

/** What `unit` keeps from dividing by 0. */
export const LEAST = 1e-6;
/** Tokens up to which a thread goes through those of its channels one by one. */
const FEW = 8;

const launch = fused("short", { writes: [1], updates: [0] });

/** Several short convolutions of tokens of `batch` sequences, each with its silu: for a few tokens in one launch where a device can. Throws ShapeError. */
export function shorts(list: readonly Short[], batch: Batch): Tensor[] {
  const [first] = list;
  const [t = 0] = first?.x.shape ?? [];
  const run = first && launch(first.x.device);
  const lengths = lengthsOf(t, batch);
  if (!run || recorderOf(list.flatMap(({ x, w, bias }) => [x, w, bias])) || Math.max(...lengths) > FEW)
    return list.map((one) => plain(one, batch));
  const outs = list.map(({ x }) => new Tensor(x.device, x.shape));
  if (lengths.length === 1) {
    run(list, outs);
    return outs;
  }
  let from = 0;
  ownsOf(lengths).forEach((own, i) => {
    const to = from + lengths[i]!;
    run(
      list.map(({ x, before, ...rest }) => ({ ...rest, x: own(x), before: own(before) })),
      outs.map((out) => out.rows(from, to)),
    );
    from = to;
  });
  return outs;
}

function plain({ x, w, bias, before, unit }: Short, batch: Batch): Tensor {
  const y = map(conv(x, w, { bias, batch, before }), "silu");
  if (before) keepTail(x, before, w.shape.at(-1)!, batch);
  const n = x.shape.at(-1)!;
  // x / sqrt(sum x^2 + LEAST), as a norm over the mean square.
  return unit ? scaleBy(rmsNorm(y, undefined, LEAST / n), n ** -0.5) : y;
}
