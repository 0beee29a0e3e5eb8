import { addBias } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { rope } from "../ops/rope/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { At, Sizes } from "./define.ts";

/** Queries `[d, h, e]`, through a normalised bottleneck of rank q where z.q is set (query LoRA). */
export const queryParams = (z: Sizes) => ({
  wDQ: z.q ? "d q" : undefined,
  gQ: z.q ? "q" : undefined,
  wQ: z.q ? "q h e" : "d h e",
});

/** The same with the part without position and the rotary part kept apart, as a sum of two score terms wants them. */
export const splitQueryParams = (z: Sizes) => ({
  wDQ: z.q ? "d q" : undefined,
  bDQ: z.q && z.bias ? "q" : undefined,
  gQ: z.q ? "q" : undefined,
  wUQ: z.q ? "q h n" : "d h n",
  wQR: z.q ? "q h r" : "d h r",
});

/** Outputs `[h, v, d]`, through a bottleneck of rank o where z.o is set (output LoRA; kexue.fm/archives/10907, part VI). */
export const outputParams = (z: Sizes) => ({
  wDO: z.o ? "h v o" : undefined,
  wO: z.o ? "o d" : "h v d",
  bO: z.bias === "all" ? "d" : undefined,
});

/** FLOPs per token of queries and outputs. */
export const outerFlops = (z: Sizes) =>
  2 * (z.q ? z.d * z.q + z.q * z.h * z.e : z.d * z.h * z.e) + 2 * (z.o ? z.h * z.v * z.o + z.o * z.d : z.h * z.v * z.d);

type Down = { wDQ: Tensor | undefined; bDQ?: Tensor | undefined; gQ: Tensor | undefined };

/** `[t, d]` or, where there is a bottleneck, its normalised latent `[t, q]`. */
function latent(p: Down, x: Tensor): Tensor {
  return p.wDQ ? rmsNorm(addBias(einsum("t d, d q -> t q", x, p.wDQ), p.bDQ), p.gQ) : x;
}

/** Queries `[t, h, e]`, the last r dims rotated. */
export function queries(p: Down & { wQ: Tensor; bQ?: Tensor | undefined }, x: Tensor, at: At): Tensor {
  return rope(addBias(einsum("t q, q h e -> t h e", latent(p, x), p.wQ), p.bQ), at.rotation, at.positions);
}

/** Queries without position `[t, h, n]` and rotated ones `[t, h, r]`. */
export function splitQueries(p: Down & { wUQ: Tensor; wQR: Tensor }, x: Tensor, at: At): { qn: Tensor; qr: Tensor } {
  const cq = latent(p, x);
  return {
    qn: einsum("t q, q h n -> t h n", cq, p.wUQ),
    qr: rope(einsum("t q, q h r -> t h r", cq, p.wQR), at.rotation, at.positions),
  };
}

/** Heads' outputs `[t, h, v]` to `[t, d]`. */
export function outputs(p: { wDO: Tensor | undefined; wO: Tensor; bO: Tensor | undefined }, o: Tensor): Tensor {
  const y = p.wDO
    ? einsum("t o, o d -> t d", einsum("t h v, h v o -> t o", o, p.wDO), p.wO)
    : einsum("t h v, h v d -> t d", o, p.wO);
  return addBias(y, p.bO);
}
