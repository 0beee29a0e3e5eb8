import { addBias, scaled } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { map } from "../ops/map/index.ts";
import { multiply } from "../ops/multiply/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import type { Random } from "../tensor/random.ts";
import { defineAttention } from "./define.ts";
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

/** A in 1..16, and time steps spread evenly in logarithm over 0.001..0.1, kept as what softplus makes them of. */
export const decayInitial = {
  aLog: (random: Random) => Math.log(1 + 15 * random.uniform()),
  bT: (random: Random) => Math.log(Math.expm1(10 ** (2 * random.uniform() - 3))),
};

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
      ...mixed(p, x, at, z, state),
      // -exp(A) softplus(f(x) + dt), per channel.
      decay: multiply(map(addBias(fade, p.bT), "softplus"), scaled(map(p.aLog, "exp"), -1), 1),
      gate: map(addBias(gate, p.bG), "sigmoid"),
    };
  },
  forms: mixedForms((z) => mixedFlops(z) + 2 * z.c * (2 * z.d + z.h * (z.n + z.v))),
  output: (p, o, at, z, { gate }) => outputs(p, multiply(rmsNorm(o, p.gO, eps(z)), gate), at, z),
});
