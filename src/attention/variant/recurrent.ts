import { shorts } from "../../ops/conv/short.ts";
import { BLOCK } from "../../ops/delta/chunk.ts";
import { delta, deltaFlops } from "../../ops/delta/index.ts";
import { gatedNorm } from "../../ops/norm/index.ts";
import type { After } from "../../ops/products/after.ts";
import { type Factor, products, type Residual, type Results } from "../../ops/products/index.ts";
import type { Random } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { At, Initial, Sizes } from "../define.ts";
import { eps, groupRules, outputFlops, outputs, rankRules } from "./rank.ts";

// What the delta rule's variants share: projections through short convolutions, keys and queries of unit length, a state of
// n x v numbers per value head. g key heads serve h value heads.

const taps = (z: Sizes) => z.w ?? 0;

export const mixedParams = (z: Sizes) => {
  const bias = z.with?.convBias;
  return {
    wQ: "d g n",
    wK: "d g n",
    wV: "d h v",
    fQ: "g n w",
    fK: "g n w",
    fV: "h v w",
    aFQ: bias ? "g n" : undefined,
    aFK: bias ? "g n" : undefined,
    aFV: bias ? "h v" : undefined,
    wB: "d h",
  };
};

/** Uniform in +-1 / sqrt(taps), as PyTorch starts a depthwise convolution. */
const filter: Initial = (random, z) => (2 * random.uniform() - 1) / Math.sqrt(taps(z));
export const mixedInitial = { fQ: filter, fK: filter, fV: filter };

export const mixedQuery = { q: "g n", k: "g n", v: "h v", beta: "h" } as const;

/** The state: what each head has learnt, and the last w - 1 inputs of the convolutions. */
export const mixedState = () => ({ memory: "h n v", tailQ: "w-1 g n", tailK: "w-1 g n", tailV: "w-1 h v" }) as const;

export const mixedRules = (z: Sizes) =>
  [
    ...groupRules(z),
    [z.n > 0, "n", "the state has at least one row"],
    [z.r === 0, "r", "the order of tokens is in the state, no dims rotate (r = 0)"],
    [z.q === 0, "q", "queries have no bottleneck"],
    [taps(z) >= 2 && taps(z) <= 8, "w", "short convolutions have 2 to 8 taps"],
    ...rankRules(z),
  ] as const;

/** FLOPs of a new token: projections, the rule itself, the output. Short convolutions and norms are left out, as is usual. */
export const mixedFlops = (z: Sizes) =>
  2 * z.d * (2 * z.g * z.n + z.h * z.v + z.h) + z.h * deltaFlops(z.n, z.v) + outputFlops(z);

type MixedHeld = Record<"wQ" | "wK" | "wV" | "fQ" | "fK" | "fV" | "wB", Tensor> &
  Record<"aFQ" | "aFK" | "aFV", Tensor | undefined>;
type MixedState = Readonly<Record<keyof ReturnType<typeof mixedState>, Tensor>>;

/**
 * Queries, keys and values after their convolutions, and the step beta in 0..1 (0..2 where doubled); then what else of the hidden
 * states is asked for.
 */
export function mixTokens<const F extends readonly Factor<Tensor | undefined>[]>(
  p: MixedHeld,
  x: Tensor,
  at: At,
  z: Sizes,
  state: MixedState | undefined,
  ...factors: F
): [mixed: Mixed, ...made: Results<F>] {
  const [rawQ, rawK, rawV, beta, ...made] = products(
    x,
    ["t d, d g n -> t g n", p.wQ],
    ["t d, d g n -> t g n", p.wK],
    ["t d, d h v -> t h v", p.wV],
    ["t d, d h -> t h", p.wB, undefined, { by: "sigmoid", times: z.with?.doubled ? 2 : 1 }],
    ...factors,
  );
  const [q, k, v] = shorts(
    [
      { x: rawQ, w: p.fQ, bias: p.aFQ, before: state?.tailQ, unit: true },
      { x: rawK, w: p.fK, bias: p.aFK, before: state?.tailK, unit: true },
      { x: rawV, w: p.fV, bias: p.aFV, before: state?.tailV },
    ],
    at.batch ?? 1,
  );
  return [{ q: q!, k: k!, v: v!, beta }, ...(made as Results<F>)];
}

/** A in 1..16, and time steps spread evenly in logarithm over 0.001..0.1, kept as what softplus makes them of. */
export const decayInitial = {
  aLog: (random: Random) => Math.log(1 + 15 * random.uniform()),
  bT: (random: Random) => Math.log(Math.expm1(10 ** (2 * random.uniform() - 3))),
};

/**
 * What becomes of a product where it is the logarithm of a decay, per head `[t, h]` or per channel `[t, h, n]`, raw + dt being the
 * product and its bias: -exp(A) softplus(raw + dt), or where it is bounded floor sigmoid(exp(A) (raw + dt)).
 */
export const decayOf = (aLog: Tensor, z: Sizes): After =>
  z.with?.boundedDecay
    ? { by: "sigmoid", times: z.floor ?? -5, rate: aLog, inside: true }
    : { by: "softplus", times: -1, rate: aLog };

/** Heads' outputs, normed and gated, to `[t, d]`. */
export function gatedOutput(
  p: Parameters<typeof outputs>[0] & { gO: Tensor },
  o: Tensor,
  at: At,
  z: Sizes,
  parts: { readonly gate: Tensor },
  residual: Residual | undefined,
): Tensor {
  return outputs(p, gatedNorm(o, p.gO, eps(z), parts.gate), at, z, parts, residual);
}

export interface Mixed extends Record<"q" | "k" | "v" | "beta", Tensor> {
  readonly decay?: Tensor | undefined;
}

/** Both ways through the rule, given the cost of a token. */
export const mixedForms = (token: (z: Sizes) => number) => {
  const cost = (z: Sizes) => ({ token: token(z), cached: 0, pair: 0 });
  const run =
    (by: "chunked" | "recurrent") =>
    (_p: unknown, rule: Mixed, view: { scale: number }, _z: Sizes, at: At, state: MixedState | undefined) =>
      delta(rule, {
        scale: view.scale,
        batch: at.batch,
        by,
        ...(state && { state: state.memory, final: state.memory }),
      });
  return {
    chunked: {
      about: "chunk by chunk, as products of matrices (training, prefill)",
      block: BLOCK,
      cost,
      run: run("chunked"),
    },
    recurrent: {
      about: "token by token: the same work however long the past is (decode)",
      cost,
      run: run("recurrent"),
    },
  };
};
