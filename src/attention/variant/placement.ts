import { reshape } from "../../ops/add/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { contiguous } from "../../ops/pages/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";

/**
 * The 0/1 array `[g, width, all]` that puts group i's `width` numbers at `start + i * width` of a row of `all`. With it in the
 * place of MLA's up-projections, grouped attention becomes multi-query attention over one shared row
 * (kexue.fm/archives/10091 and 11111: GQA is the MLA whose up-projections only select).
 */
export function placement(like: Tensor, g: number, width: number, start: number, all: number): Tensor {
  const values = new Float64Array(g * width * all);
  for (let i = 0; i < g; i++) for (let j = 0; j < width; j++) values[(i * width + j) * all + start + i * width + j] = 1;
  return tensor(like.device, [g, width, all], values);
}

/** Cached vectors per group, `[s, g, e]`, as one row per token `[s, all]`; zeros where `places` puts nothing. */
export function flatten(x: Tensor, places: Tensor): Tensor {
  return einsum("s g e, g e a -> s a", contiguous(x), places);
}

/** Queries `[t, h, e]` spread over the shared row, `[t, h, all]`: each head's in its group's place, zeros elsewhere. */
export function spread(x: Tensor, places: Tensor): Tensor {
  const [t = 0, h = 0, e = 0] = x.shape;
  const [g = 1, , all = 0] = places.shape;
  return reshape(einsum("t g m e, g e a -> t g m a", reshape(x, [t, g, h / g, e]), places), [t, h, all]);
}

/** The way back: from `[t, h, all]` what lies in each head's own group, `[t, h, width]`. */
export function pick(x: Tensor, places: Tensor): Tensor {
  const [t = 0, h = 0, all = 0] = x.shape;
  const [g = 1, width = 0] = places.shape;
  return reshape(einsum("t g m a, g e a -> t g m e", reshape(x, [t, g, h / g, all]), places), [t, h, width]);
}
