import { reshape } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { defineAttention, type Sizes } from "../define.ts";
import { latentRules, rotary } from "./mla.ts";
import { eps, groupRules, outerFlops, outputParams, outputs, splitProducts, splitQueryParams } from "./rank.ts";

const projections = (z: Sizes) => outerFlops(z) + 2 * z.d * (z.g * z.c + z.r);
const unfolding = (z: Sizes) => 2 * z.c * z.h * (z.n + z.v);

/**
 * Grouped Latent Attention: g latents of their own, each unfolded for its own h / g heads, and one rotated key for all. A device
 * that serves one group of heads needs that group's latent alone.
 */
export const gla = defineAttention({
  name: "GLA",
  source: "Zadouri, Strauss, Dao (arXiv 2505.21487), section 3",
  features: ["plainLatent"],
  qkNorm: "does not, as in MLA",
  rules: (z) => [...latentRules(z), ...groupRules(z)],
  params: (z) => ({
    ...splitQueryParams(z),
    wDKV: "d g c",
    gKV: z.with?.plainLatent ? undefined : "g c",
    wKR: z.r ? "d r" : undefined,
    wUK: "c h n",
    wUV: "c h v",
    ...outputParams(z),
  }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined }),
  cache: (z) => ({ c: "g c", kr: z.r ? "r" : undefined }),
  unfolded: (z) => ({ kn: "h n", v: "h v", kr: z.r ? "r" : undefined }),
  unfold(p, { c, kr }, { g, h, n, v, c: rank }) {
    const s = c.shape[0]!;
    const up = (w: typeof c, width: number) =>
      reshape(einsum("s g c, c g m n -> s g m n", c, reshape(w, [rank, g, h / g, width])), [s, h, width]);
    return { kn: up(p.wUK, n), v: up(p.wUV, v), ...(kr && { kr }) };
  },
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const latent = ["t d, d g c -> t g c", p.wDKV] as const;
    const [{ qn, qr }, c, kr] = splitProducts(p, x, z, latent, ["t d, d r -> t r", p.wKR]);
    const normed = { x: c, gain: p.gKV, eps: eps(z), turned: false };
    const [turned, latents, key] = ready(at, qr && { x: qr }, normed, kr && { x: kr });
    return { qn, ...(turned && { qr: turned }), c: latents, ...(key && { kr: key }) };
  },
  forms: {
    expanded: {
      about: "multi-head: unfolds each group's latent into keys and values of its heads",
      over: "unfolded",
      cost: (z) => ({ token: projections(z), cached: unfolding(z), pair: 2 * z.h * (z.e + z.v) }),
      run: (_p, { qn, qr, kn, v, kr }, view) => attend(v, view, [qn, kn], ...rotary(qr, kr)),
    },
    absorbed: {
      about: "grouped-query over the latents: each group's heads read its latent, as key and as value",
      cost: (z) => ({ token: projections(z) + unfolding(z), cached: 0, pair: 2 * z.h * (2 * z.c + z.r) }),
      run(p, { qn, qr, c, kr }, view) {
        const qc = einsum("t h n, c h n -> t h c", qn, p.wUK);
        return einsum("t h c, c h v -> t h v", attend(c, view, [qc, c], ...rotary(qr, kr)), p.wUV);
      },
    },
  },
  output: outputs,
});
