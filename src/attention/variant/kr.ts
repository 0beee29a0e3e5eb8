import { add } from "../../ops/add/index.ts";
import { attend, type View } from "../../ops/attend/index.ts";
import { blend } from "../../ops/blend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { multiply } from "../../ops/multiply/index.ts";
import { contiguous } from "../../ops/pages/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { rope } from "../../ops/rope/index.ts";
import { eachSequence } from "../../ops/sequence.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type At, defineAttention } from "../define.ts";
import {
  groupRules,
  outerFlops,
  outputParams,
  outputs,
  positionsSoFar,
  queryParams,
  rankRules,
  wholeFactors,
  wholeQueries,
} from "./rank.ts";

/** Attention over rotated keys, whose values are the same keys as they are cached. */
function overTurned(q: Tensor, k: Tensor, view: View, at: At): Tensor {
  const { batch, positions } = at;
  if (typeof batch === "object")
    return eachSequence(batch, (own, i, from) =>
      overTurned(
        own(q),
        own(k),
        { ...view, batch: 1 },
        { ...at, positions: positions.subarray(from, from + batch[i]!), batch: 1 },
      ),
    );
  return attend(k, view, [q, rope(k, at.rotation, positionsSoFar(at, k.shape[0]!))]);
}

/**
 * Key reuse (MFA-KR): the value comes from the key, v = k + alpha * (k N) with alpha from zero, so only k is cached, without
 * position, since v needs it so; keys are rotated whenever they are read. (The paper leaves open how rotation and reuse meet.)
 */
export const kr = defineAttention({
  name: "KR",
  source: "Hu et al., Multi-matrix Factorization Attention (arXiv 2412.19255)",
  qkNorm: "would survive: the key would be normed before it is cached, and the value is made of what is cached",
  rules: (z) => [
    ...groupRules(z),
    [z.r % 2 === 0, "r", "the rotary dims are even"],
    [z.v === z.e, "v", `the value is as wide as the key (n + r = ${z.e})`],
    ...rankRules(z),
  ],
  params: (z) => ({ ...queryParams(z), wK: "d g e", wN: "e v", aN: "g v", ...outputParams(z) }),
  query: () => ({ q: "h e" }),
  cache: () => ({ k: "g e" }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [latent, straight, k] = products(x, ...wholeFactors(p), ["t d, d g e -> t g e", p.wK]);
    const [q] = ready(at, wholeQueries(p, x, z, [latent, straight]));
    return { q, k };
  },
  forms: {
    grouped: {
      about: "each group's heads read its own key, rotated, and the value made of it",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * z.g * z.e,
        cached: 2 * z.g * z.e * z.v,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run(p, { q, k }, view, _z, at) {
        const keys = contiguous(k);
        const values = add(keys, multiply(einsum("s g e, e v -> s g v", keys, p.wN), p.aN, 1));
        return attend(values, view, [q, rope(keys, at.rotation, positionsSoFar(at, keys.shape[0]!))]);
      },
    },
    absorbed: {
      about: "attention over the cached keys, rotated, and the value made of what it gives: v is linear in k",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * z.g * z.e + 2 * z.h * z.v * (z.v + 1),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (p, { q, k }, view, _z, at) => blend(overTurned(q, k, view, at), p.wN, p.aN),
    },
  },
  output: outputs,
});
