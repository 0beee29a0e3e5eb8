import { defineAttention } from "../define.ts";
import { outputParams } from "./rank.ts";
import {
  decayInitial,
  decayOf,
  gatedOutput,
  mixedFlops,
  mixedForms,
  mixedInitial,
  mixedParams,
  mixedQuery,
  mixedRules,
  mixedState,
  mixTokens,
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
  project(p, x, at, z, state) {
    const [mixed, decay, gate] = mixTokens(
      p,
      x,
      at,
      z,
      state,
      ["t d, d h -> t h", p.wA, p.bT, decayOf(p.aLog, z)],
      ["t d, d h v -> t h v", p.wG, undefined, { by: "silu" }],
    );
    return { ...mixed, decay, gate };
  },
  forms: mixedForms((z) => mixedFlops(z) + 2 * z.d * z.h * (1 + z.v)),
  output: (p, o, at, z, parts, residual) => gatedOutput(p, o, at, z, parts, residual),
});
