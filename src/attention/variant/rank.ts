import { reshape } from "../../ops/add/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { Normed } from "../../ops/norm/normed.ts";
import { addProduct, type Factor, products, type Residual, type Results } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
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
type WholeQueries = Down & { wQ: Tensor; bQ?: Tensor | undefined; gQH: Tensor | undefined };
type SplitQueries = Down & { wUQ: Tensor; wQR: Tensor | undefined } & {
  wQI?: Tensor | undefined;
  bUQ?: Tensor | undefined;
  bQR?: Tensor | undefined;
};

/** The product that leads to the bottleneck of queries, where there is one. */
const down = (p: Down) => ["t d, d q -> t q", p.wDQ, p.bDQ] as const;
/** The weight, where queries come straight from the hidden states. */
const straight = <W>(p: Down, weight: W) => (p.wDQ ? undefined : weight);

/** `[t, d]` or, where there is a bottleneck, its normalised latent `[t, q]`: of the product that leads there. */
export function queryLatent(p: Down, x: Tensor, z: Sizes, [made] = products(x, down(p))): Tensor {
  return made && p.gQ ? Normed.of(made, p.gQ, eps(z)) : (made ?? x);
}

/** The products of the hidden states that queries `[t, h, e]` begin with: one of two, to the bottleneck or to the queries. */
export const wholeFactors = (p: WholeQueries) =>
  [down(p), ["t d, d h e -> t h e", straight(p, p.wQ), p.bQ] as const] as const;

/** Queries of what `wholeFactors` gave, normed per head where p has a gain for that; their last r dims are to be turned. */
export function wholeQueries(
  p: WholeQueries,
  x: Tensor,
  z: Sizes,
  [made, q]: readonly (Tensor | undefined)[] = products(x, ...wholeFactors(p)),
) {
  const all = q ?? products(queryLatent(p, x, z, [made]), ["t q, q h e -> t h e", p.wQ, p.bQ])[0];
  return { x: all, gain: p.gQH, eps: eps(z) };
}

/** Queries `[t, h, e]`, normed per head where p has a gain for that, the last r dims rotated. */
export function queries(p: WholeQueries, x: Tensor, at: At, z: Sizes): Tensor {
  return ready(at, wholeQueries(p, x, z))[0];
}

/**
 * The products of the hidden states in a layer whose queries are split: queries without position `[t, h, n]` and, where there are any,
 * `[t, h, r]` that are to be turned, and `[t, j, i]` of an indexer; then what else is asked for.
 */
export function splitProducts<const F extends readonly Factor<Tensor | undefined>[]>(
  p: SplitQueries,
  x: Tensor,
  z: Sizes,
  ...factors: F
): [queries: { qn: Tensor; qr: Tensor | undefined; qi: Tensor | undefined }, ...made: Results<F>] {
  const [latent, plain, turned, index, ...others] = products(
    x,
    down(p),
    ["t d, d h n -> t h n", straight(p, p.wUQ), p.bUQ],
    ["t d, d h r -> t h r", straight(p, p.wQR), p.bQR],
    ["t d, d j i -> t j i", straight(p, p.wQI)],
    ...factors,
  );
  const made = others as Results<F>;
  // Norms of many rows are large, and these are needed no more.
  if (x instanceof Normed) x.forget();
  if (plain) return [{ qn: plain, qr: turned, qi: index }, ...made];
  const normed = queryLatent(p, x, z, [latent]);
  const [qn, qr, qi] = products(
    normed,
    ["t q, q h n -> t h n", p.wUQ, p.bUQ],
    ["t q, q h r -> t h r", p.wQR, p.bQR],
    ["t q, q j i -> t j i", p.wQI],
  );
  if (normed instanceof Normed) {
    normed.forget();
    normed.x.free();
  }
  return [{ qn, qr, qi }, ...made];
}

/** Queries without position `[t, h, n]` and rotated ones `[t, h, r]`, where there are any. */
export function splitQueries(p: SplitQueries, x: Tensor, at: At, z: Sizes) {
  const [{ qn, qr: raw }] = splitProducts(p, x, z);
  const [qr] = ready(at, raw && { x: raw });
  return { qn, ...(qr && { qr }) };
}

/** Heads' outputs `[t, h, v]` to `[t, d]`, or added in place to the residual where there is one. */
export function outputs(
  p: { wDO: Tensor | undefined; wO: Tensor; bO: Tensor | undefined },
  o: Tensor,
  _at: At,
  { b, h, v, o: rank }: Sizes,
  _parts?: unknown,
  residual?: Residual,
): Tensor {
  if (!p.wDO) return addProduct(o, ["t h v, h v d -> t d", p.wO, p.bO], residual);
  if (!b) {
    const inner = einsum("t h v, h v o -> t o", o, p.wDO);
    return addProduct(inner, ["t o, o d -> t d", p.wO, p.bO], residual);
  }
  const inner = einsum(
    "t b m, b m o -> t b o",
    reshape(o, [o.shape[0]!, b, (h / b) * v]),
    reshape(p.wDO, [b, (h / b) * v, rank]),
  );
  return addProduct(inner, ["t b o, b o d -> t d", p.wO, p.bO], residual);
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
