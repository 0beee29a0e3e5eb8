import { addBias } from "../ops/add/index.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { rope } from "../ops/rope/index.ts";
import { defineAttention, type Sizes } from "./define.ts";
import { outerFlops, outputParams, outputs, splitQueries, splitQueryParams } from "./rank.ts";

/** What projects a new token in either form: all but the latent's two up-projections, whose cost is `unfolding`. */
const projections = (z: Sizes) => outerFlops(z) + 2 * z.d * (z.c + z.r);
const unfolding = (z: Sizes) => 2 * z.c * z.h * (z.n + z.v);

/** Multi-head Latent Attention: each token leaves one small latent c and one rotated key kr that all heads share. */
export const mla = defineAttention({
  name: "MLA",
  source: "DeepSeek-V2 (arXiv 2405.04434), section 2.1; kexue.fm/archives/10091",
  rules: (z) => [
    [z.c > 0, "c", "the latent rank is at least 1"],
    [z.n > 0, "n", "the key dims without position are at least 1: only they fold into the latent"],
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
  ],
  params: (z) => ({
    ...splitQueryParams(z),
    wDKV: "d c",
    bDKV: z.bias ? "c" : undefined,
    gKV: "c",
    wKR: "d r",
    bKR: z.bias ? "r" : undefined,
    wUK: "c h n",
    wUV: "c h v",
    ...outputParams(z),
  }),
  query: () => ({ qn: "h n", qr: "h r" }),
  cache: () => ({ c: "c", kr: "r" }),
  scale: (z) => z.e ** -0.5,
  project: (p, x, at) => ({
    ...splitQueries(p, x, at),
    c: rmsNorm(addBias(einsum("t d, d c -> t c", x, p.wDKV), p.bDKV), p.gKV),
    kr: rope(addBias(einsum("t d, d r -> t r", x, p.wKR), p.bKR), at.rotation, at.positions),
  }),
  forms: {
    expanded: {
      about: "multi-head: unfolds the latent into keys and values per head; least arithmetic (training, prefill)",
      cost: (z) => ({ token: projections(z), cached: unfolding(z), pair: 2 * z.h * (z.e + z.v) }),
      run(p, { qn, qr, c, kr }, view) {
        const kn = einsum("s c, c h n -> s h n", c, p.wUK);
        const values = einsum("s c, c h v -> s h v", c, p.wUV);
        return attend(values, view, [qn, kn], [qr, kr]);
      },
    },
    absorbed: {
      about: "multi-query: folds wUK into the query and wUV into the output; least traffic (decode)",
      cost: (z) => ({ token: projections(z) + unfolding(z), cached: 0, pair: 2 * z.h * (2 * z.c + z.r) }),
      run(p, { qn, qr, c, kr }, view) {
        const qc = einsum("t h n, c h n -> t h c", qn, p.wUK);
        const oc = attend(c, view, [qc, c], [qr, kr]);
        return einsum("t h c, c h v -> t h v", oc, p.wUV);
      },
    },
  },
  output: outputs,
});
