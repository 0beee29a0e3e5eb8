import { productsOf } from "../../ops/products/index.ts";
import { defineAttention, type Sizes } from "../define.ts";
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

/** FLOPs of a token's two gates. */
const gateFlops = ({ d, h, n, v, c }: Sizes) => (c ? 2 * c * (2 * d + h * (n + v)) : 2 * d * h * (n + v));

/**
 * Kimi Delta Attention: the delta rule with a decay per channel, its two gates through bottlenecks of rank c, or where that is 0
 * each through one matrix (Ling 3.0).
 */
export const kda = defineAttention({
  name: "KDA",
  source: "Kimi Linear (arXiv 2510.26692), section 3; bounded decay and full-rank gates: flash-linear-attention 0.5.2",
  qkNorm: "both forms take the same normed keys",
  window: false,
  features: ["convBias", "doubled", "boundedDecay", "plainGate"],
  rules: mixedRules,
  params: (z) => ({
    ...mixedParams(z),
    wDF: z.c ? "d c" : undefined,
    wUF: z.c ? "c h n" : undefined,
    wF: z.c ? undefined : "d h n",
    bT: "h n",
    aLog: "h",
    wDG: z.c ? "d c" : undefined,
    wUG: z.c ? "c h v" : undefined,
    wG: z.c ? undefined : "d h v",
    bG: z.with?.plainGate ? undefined : "h v",
    gO: "v",
    ...outputParams(z),
  }),
  initial: { ...mixedInitial, ...decayInitial },
  query: () => ({ ...mixedQuery, decay: "h n", gate: "h v" }),
  cache: () => ({}),
  state: mixedState,
  scale: (z) => z.n ** -0.5,
  project(p, x, at, z, state) {
    const decay = [p.bT, decayOf(p.aLog, z)] as const;
    const gate = [p.bG, { by: "sigmoid" }] as const;
    const [mixed, toDecay, toGate, ...whole] = mixTokens(
      p,
      x,
      at,
      z,
      state,
      ["t d, d c -> t c", p.wDF],
      ["t d, d c -> t c", p.wDG],
      ["t d, d h n -> t h n", p.wF, ...decay],
      ["t d, d h v -> t h v", p.wG, ...gate],
    );
    const [through, other] = productsOf(
      toDecay && { x: toDecay, of: [["t c, c h n -> t h n", p.wUF!, ...decay]] },
      toGate && { x: toGate, of: [["t c, c h v -> t h v", p.wUG!, ...gate]] },
    );
    return { ...mixed, decay: (whole[0] ?? through)!, gate: (whole[1] ?? other)! };
  },
  forms: mixedForms((z) => mixedFlops(z) + gateFlops(z)),
  output: (p, o, at, z, parts, residual) => gatedOutput(p, o, at, z, parts, residual),
});
