import { addBias, scaled } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { map } from "../ops/map/index.ts";
import { multiply } from "../ops/multiply/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { defineAttention } from "./define.ts";
import { decayInitial } from "./kda.ts";
import { eps, outputParams, outputs } from "./rank.ts";
import {
  mixed,
  mixedFlops,
  mixedForms,
  mixedInitial,
  mixedParams,
  mixedQuery,
  mixedRules,
  mixedState,
} from "./recurrent.ts";

/** Gated delta net: the delta rule with one decay per head and token, and a gate on the normed output. */
export const gdn = defineAttention({
  name: "GDN",
  source: "Yang, Kautz, Hatamizadeh, Gated DeltaNet (arXiv 2412.06464)",
  qkNorm: "both forms take the same normed keys",
  window: false,
  features: ["convBias", "doubled"],
  rules: mixedRules,
  params: (z) => ({
    ...mixedParams(z),
    wA: "d h",
    bT: "h",
    aLog: "h",
    wG: "d h v",
    gO: "v",
    ...outputParams(z),
  }),
  initial: { ...mixedInitial, ...decayInitial },
  query: () => ({ ...mixedQuery, decay: "h", gate: "h v" }),
  cache: () => ({}),
  state: mixedState,
  scale: (z) => z.n ** -0.5,
  project: (p, x, at, z, state) => ({
    ...mixed(p, x, at, z, state),
    // -exp(A) softplus(a x + dt), per head.
    decay: multiply(
      map(addBias(einsum("t d, d h -> t h", x, p.wA), p.bT), "softplus"),
      scaled(map(p.aLog, "exp"), -1),
      1,
    ),
    gate: map(einsum("t d, d h v -> t h v", x, p.wG), "silu"),
  }),
  forms: mixedForms((z) => mixedFlops(z) + 2 * z.d * z.h * (1 + z.v)),
  output: (p, o, at, z, { gate }) => outputs(p, multiply(rmsNorm(o, p.gO, eps(z)), gate), at, z),
});
