import { rmsNorm } from "../../ops/norm/index.ts";
import { defineAttention } from "../define.ts";
import { eps, outputParams, outputs } from "./rank.ts";
import {
  mixedFlops,
  mixedForms,
  mixedInitial,
  mixedParams,
  mixedQuery,
  mixedRules,
  mixedState,
  mixTokens,
} from "./recurrent.ts";

/** The delta rule alone: what the state holds for a key is corrected towards its value, and nothing fades. */
export const deltaNet = defineAttention({
  name: "DeltaNet",
  source: "Yang et al., DeltaNet (arXiv 2406.06484)",
  qkNorm: "both forms take the same normed keys",
  window: false,
  features: ["convBias", "doubled"],
  rules: mixedRules,
  params: (z) => ({ ...mixedParams(z), gO: "v", ...outputParams(z) }),
  initial: mixedInitial,
  query: () => mixedQuery,
  cache: () => ({}),
  state: mixedState,
  scale: (z) => z.n ** -0.5,
  project: (p, x, at, z, state) => mixTokens(p, x, at, z, state)[0],
  forms: mixedForms(mixedFlops),
  output: (p, o, at, z, parts, residual) => outputs(p, rmsNorm(o, p.gO, eps(z)), at, z, parts, residual),
});
