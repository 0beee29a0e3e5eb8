import { reshape } from "../../ops/add/index.ts";
import { addBias } from "../../ops/bias/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { rmsNorm } from "../../ops/norm/index.ts";
import { rope } from "../../ops/rope/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { At, Sizes } from "../define.ts";

/** Epsilon of a norm inside attention. */
export const eps = (z: Sizes) => z.eps ?? 1e-6;

const downParams = (z: Sizes) => ({
  wDQ: z.q ? "d q" : undefined,
  bDQ: z.q && z.bias ? "q" : undefined,
  gQ: z.q ? "q" : undefined,
});

/** Queries `[d, h, e]`, through a normalised bottleneck of rank q where z.q is set (query LoRA). */
export const queryParams = (z: Sizes) => ({
  ...downParams(z),
  wQ: z.q ? "q h e" : "d h e",
  gQH: z.with?.qkNorm || z.with?.entryNorm ? "e" : undefined,
});

/** The same with the part without position and the rotary part kept apart, as a sum of two score terms wants them. */
export const splitQueryParams = (z: Sizes) => ({
  ...downParams(z),
  wUQ: z.q ? "q h n" : "d h n",
  wQR: z.r ? (z.q ? "q h r" : "d h r") : undefined,
});

/**
 * Outputs `[h, v, d]`, through a bottleneck of rank o where z.o is set (output LoRA; kexue.fm/archives/10907, part VI), one for
 * each of z.b groups of heads where that is set (DeepSeek-V4, arXiv 2606.19348).
 */
export const outputParams = (z: Sizes) => ({
  wDO: z.o ? "h v o" : undefined,
  wO: z.b ? "b o d" : z.o ? "o d" : "h v d",
  bO: z.bias === "all" ? "d" : undefined,
});

/** What ranks must keep. */
export const rankRules = (z: Sizes) =>
  [
    [!z.b || z.o > 0, "b", "groups of the output's rank need a rank o"],
    [!z.b || z.h % z.b === 0, "b", `they divide the heads (h = ${z.h})`],
  ] as const;

/** What groups of heads must keep. */
export const groupRules = (z: Sizes) =>
  [[z.g > 0 && z.h % z.g === 0, "g", `the groups divide the heads (h = ${z.h})`]] as const;

/** FLOPs per token of queries and outputs. */
export const outerFlops = (z: Sizes) => queryFlops(z) + outputFlops(z);
const queryFlops = (z: Sizes) => 2 * (z.q ? z.d * z.q + z.q * z.h * z.e : z.d * z.h * z.e);
export const outputFlops = (z: Sizes) => 2 * (z.o ? z.h * z.v * z.o + (z.b || 1) * z.o * z.d : z.h * z.v * z.d);

type Down = { wDQ: Tensor | undefined; bDQ: Tensor | undefined; gQ: Tensor | undefined };

/** `[t, d]` or, where there is a bottleneck, its normalised latent `[t, q]`. */
export function queryLatent(p: Down, x: Tensor, z: Sizes): Tensor {
  return p.wDQ ? rmsNorm(addBias(einsum("t d, d q -> t q", x, p.wDQ), p.bDQ), p.gQ, eps(z)) : x;
}

/** Queries `[t, h, e]`, normed per head where p has a gain for that, the last r dims rotated. */
export function queries(
  p: Down & { wQ: Tensor; bQ?: Tensor | undefined; gQH: Tensor | undefined },
  x: Tensor,
  at: At,
  z: Sizes,
): Tensor {
  const q = addBias(einsum("t q, q h e -> t h e", queryLatent(p, x, z), p.wQ), p.bQ);
  return rope(p.gQH ? rmsNorm(q, p.gQH, eps(z)) : q, at.rotation, at.positions);
}

/** Queries without position `[t, h, n]` and rotated ones `[t, h, r]`, where there are any. */
export function splitQueries(
  p: Down & { wUQ: Tensor; wQR: Tensor | undefined; bUQ?: Tensor | undefined; bQR?: Tensor | undefined },
  x: Tensor,
  at: At,
  z: Sizes,
  cq = queryLatent(p, x, z),
) {
  const qr = p.wQR && addBias(einsum("t q, q h r -> t h r", cq, p.wQR), p.bQR);
  return {
    qn: addBias(einsum("t q, q h n -> t h n", cq, p.wUQ), p.bUQ),
    ...(qr && { qr: rope(qr, at.rotation, at.positions) }),
  };
}

/** Heads' outputs `[t, h, v]` to `[t, d]`. */
export function outputs(
  p: { wDO: Tensor | undefined; wO: Tensor; bO: Tensor | undefined },
  o: Tensor,
  _at: At,
  z: Sizes,
): Tensor {
  return addBias(projectOutput(p, o, z), p.bO);
}

function projectOutput(p: { wDO: Tensor | undefined; wO: Tensor }, o: Tensor, { b, h, v, o: rank }: Sizes): Tensor {
  if (!p.wDO) return einsum("t h v, h v d -> t d", o, p.wO);
  if (!b) return einsum("t o, o d -> t d", einsum("t h v, h v o -> t o", o, p.wDO), p.wO);
  const inner = einsum(
    "t b m, b m o -> t b o",
    reshape(o, [o.shape[0]!, b, (h / b) * v]),
    reshape(p.wDO, [b, (h / b) * v, rank]),
  );
  return einsum("t b o, b o d -> t d", inner, p.wO);
}

const soFar = new WeakMap<Int32Array, Int32Array>();

/**
 * Where all the tokens so far stand, given those of the newest: one after the other, as a cache holds them. All layers of a step
 * ask with the same positions and get the same array, so that they share one table of sines.
 */
export function positionsSoFar({ positions }: At, s: number): Int32Array {
  if (s === positions.length) return positions;
  let all = soFar.get(positions);
  if (all?.length !== s) {
    const last = positions.at(-1)!;
    all = Int32Array.from({ length: s }, (_, i) => last - (s - 1) + i);
    soFar.set(positions, all);
  }
  return all;
}
