import { attend } from "../../ops/attend/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { defineAttention } from "../define.ts";
import { rotary } from "./mla.ts";
import { groupRules, outerFlops, outputParams, outputs, rankRules, splitProducts, splitQueryParams } from "./rank.ts";

/** Sharing S1: key and value share n dims; the key adds r rotary dims, the value r dims of its own. */
export const s1 = defineAttention({
  name: "S1",
  source: "kexue.fm/archives/10907, part III",
  qkNorm: "one form only",
  rules: (z) => [
    ...groupRules(z),
    ...rankRules(z),
    [z.n > 0, "n", "the shared dims are at least 1"],
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
    [z.v === z.e, "v", `the value is as wide as the key (n + r = ${z.e})`],
  ],
  params: (z) => ({ ...splitQueryParams(z), wC: "d g n", wKR: "d g r", wVR: "d g r", ...outputParams(z) }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined }),
  cache: () => ({ c: "g n", kr: "g r", vr: "g r" }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [{ qn, qr }, c, kr, vr] = splitProducts(
      p,
      x,
      z,
      ["t d, d g n -> t g n", p.wC],
      ["t d, d g r -> t g r", p.wKR],
      ["t d, d g r -> t g r", p.wVR],
    );
    const [turned, key] = ready(at, qr && { x: qr }, { x: kr });
    return { qn, ...(turned && { qr: turned }), c, kr: key, vr };
  },
  forms: {
    grouped: {
      about: "the shared part is its group's key and value at once",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * z.g * (z.n + 2 * z.r),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { qn, qr, c, kr, vr }, view) => attend([c, vr], view, [qn, c], ...rotary(qr, kr)),
    },
  },
  output: outputs,
});
