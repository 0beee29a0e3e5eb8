import { reshape } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { defineAttention } from "../define.ts";
import { latentFlops, latentParams, latentProducts, latentRules, readyLatent, rotary } from "./mla.ts";
import { groupRules, outputParams, outputs, splitQueryParams } from "./rank.ts";

/** Group-Query Latent Attention: MLA whose up-projections belong to groups of heads, so that a third path, GQA, opens. */
export const gqla = defineAttention({
  name: "GQLA",
  source: "Meng, GQLA (arXiv 2605.15250)",
  features: ["plainLatent"],
  qkNorm: "does not, as in MLA; the per-group path would bear it",
  rules: (z) => [...latentRules(z), ...groupRules(z)],
  params: (z) => ({ ...splitQueryParams(z), ...latentParams(z), wUK: "c g n", wUV: "c g v", ...outputParams(z) }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined }),
  cache: (z) => ({ c: "c", kr: z.r ? "r" : undefined }),
  unfolded: (z) => ({ kn: "g n", v: "g v", kr: z.r ? "r" : undefined }),
  unfold: (p, { c, kr }) => ({
    kn: einsum("s c, c g n -> s g n", c, p.wUK),
    v: einsum("s c, c g v -> s g v", c, p.wUV),
    ...(kr && { kr }),
  }),
  scale: (z) => z.e ** -0.5,
  project: (p, x, at, z) => readyLatent(p, latentProducts(p, x, z), at, z),
  forms: {
    expanded: {
      about: "grouped-query: unfolds the latent into keys and values per group",
      over: "unfolded",
      cost: (z) => ({
        token: latentFlops(z),
        cached: 2 * z.c * z.g * (z.n + z.v),
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { qn, qr, kn, v, kr }, view) => attend(v, view, [qn, kn], ...rotary(qr, kr)),
    },
    absorbed: {
      about: "multi-query over the latent, as in MLA",
      cost: (z) => ({
        token: latentFlops(z) + 2 * z.c * z.h * (z.n + z.v),
        cached: 0,
        pair: 2 * z.h * (2 * z.c + z.r),
      }),
      run(p, { qn, qr, c, kr }, view, { g, h, n, v, c: rank }) {
        const t = qn.shape[0]!;
        const qc = einsum("t g m n, c g n -> t g m c", reshape(qn, [t, g, h / g, n]), p.wUK);
        const oc = attend(c, view, [reshape(qc, [t, h, rank]), c], ...rotary(qr, kr));
        return reshape(einsum("t g m c, c g v -> t g m v", reshape(oc, [t, g, h / g, rank]), p.wUV), [t, h, v]);
      },
    },
  },
  output: outputs,
});
