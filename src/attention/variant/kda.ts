import { addBias } from "../../ops/bias/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { map } from "../../ops/map/index.ts";
import { defineAttention } from "../define.ts";
import { outputParams } from "./rank.ts";
import {
  decayInitial,
  decayRates,
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

/** Kimi Delta Attention: the delta rule with a decay per channel, its gates through bottlenecks of rank c. */
export const kda = defineAttention({
  name: "KDA",
  source: "Kimi Linear (arXiv 2510.26692), section 3",
  qkNorm: "both forms take the same normed keys",
  window: false,
  features: ["convBias", "doubled"],
  rules: (z) => [...mixedRules(z), [z.c > 0, "c", "the gates' rank is at least 1"]],
  params: (z) => ({
    ...mixedParams(z),
    wDF: "d c",
    wUF: "c h n",
    bT: "h n",
    aLog: "h",
    wDG: "d c",
    wUG: "c h v",
    bG: "h v",
    gO: "v",
    ...outputParams(z),
  }),
  initial: { ...mixedInitial, ...decayInitial },
  query: () => ({ ...mixedQuery, decay: "h n", gate: "h v" }),
  cache: () => ({}),
  state: mixedState,
  scale: (z) => z.n ** -0.5,
  project(p, x, at, z, state) {
    const fade = einsum("t c, c h n -> t h n", einsum("t d, d c -> t c", x, p.wDF), p.wUF);
    const gate = einsum("t c, c h v -> t h v", einsum("t d, d c -> t c", x, p.wDG), p.wUG);
    return {
      ...mixTokens(p, x, at, z, state),
      decay: decayRates(fade, p),
      gate: map(addBias(gate, p.bG), "sigmoid"),
    };
  },
  forms: mixedForms((z) => mixedFlops(z) + 2 * z.c * (2 * z.d + z.h * (z.n + z.v))),
  output: (p, o, at, z, { gate }) => gatedOutput(p, o, at, z, gate),
});
