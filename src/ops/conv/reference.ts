import { dataOf } from "../../device/float.ts";
import type { ConvBackwardKernel, ConvKernel, Convolution } from "./index.ts";

export const convReference: ConvKernel = (conv, bias, out) => {
  const y = dataOf(out);
  const channels = conv.w.size / conv.w.shape.at(-1)!;
  for (let i = 0; i < y.length; i++) y[i] = bias ? dataOf(bias)[i % channels]! : 0;
  eachTap(conv, (at, tap, x) => {
    y[at]! += dataOf(conv.w)[tap]! * x;
  });
};

export const convBackwardReference: ConvBackwardKernel = (conv, g, dx, dw, dbias) => {
  const [go, dxs, dws, dbiases] = [dataOf(g), dataOf(dx)?.fill(0), dataOf(dw)?.fill(0), dataOf(dbias)?.fill(0)];
  const channels = conv.w.size / conv.w.shape.at(-1)!;
  if (dbiases) for (let i = 0; i < go.length; i++) dbiases[i % channels]! += go[i]!;
  eachTap(conv, (at, tap, x, from) => {
    if (dws) dws[tap]! += go[at]! * x;
    if (dxs && from !== undefined) dxs[from]! += go[at]! * dataOf(conv.w)[tap]!;
  });
};

/** Calls `visit` with every output's place, a tap's place in w, the input under it, and that input's place in x (not before). */
function eachTap(
  { x, w, t, before }: Convolution,
  visit: (at: number, tap: number, value: number, from: number | undefined) => void,
): void {
  const width = w.shape.at(-1)!;
  const channels = w.size / width;
  for (let at = 0; at < x.size; at++) {
    const token = Math.floor(at / channels) % t;
    const c = at % channels;
    for (let k = 0; k < width; k++) {
      const back = width - 1 - k;
      const from = at - back * channels;
      if (token >= back) visit(at, c * width + k, dataOf(x)[from]!, from);
      else if (before) visit(at, c * width + k, dataOf(before)[(token + k) * channels + c]!, undefined);
    }
  }
}
