import { add } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { multiply } from "../../ops/multiply/index.ts";
import { contiguous } from "../../ops/pages/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { rope } from "../../ops/rope/index.ts";
import { defineAttention } from "../define.ts";
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

/**
 * Key reuse (MFA-KR): the value comes from the key, v = k + alpha * (k N) with alpha from zero, so only k is cached, without
 * position, since v needs it so; keys are rotated whenever they are read. (The paper leaves open how rotation and reuse meet.)
 */
export const kr = defineAttention({
  name: "KR",
  source: "Hu et al., Multi-matrix Factorization Attention (arXiv 2412.19255)",
  qkNorm: "one form only",
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
  },
  output: outputs,
});
