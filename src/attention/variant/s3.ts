import { attend } from "../../ops/attend/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { defineAttention } from "../define.ts";
import { rotary } from "./mla.ts";
import { groupRules, outerFlops, outputParams, outputs, rankRules, splitProducts, splitQueryParams } from "./rank.ts";

/** Sharing S3: MLA's absorbed form trained as it is. The key is [n | rotated r], the value its first n dims. */
export const s3 = defineAttention({
  name: "S3",
  source: "kexue.fm/archives/10907, part IV",
  qkNorm: "one form only",
  rules: (z) => [
    ...groupRules(z),
    ...rankRules(z),
    [z.n > 0, "n", "the shared dims are at least 1"],
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
    [z.v === z.n, "v", `the value is the shared part (n = ${z.n})`],
  ],
  params: (z) => ({ ...splitQueryParams(z), wC: "d g n", wKR: "d g r", ...outputParams(z) }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined }),
  cache: () => ({ c: "g n", kr: "g r" }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [entry, key] = [["t d, d g n -> t g n", p.wC] as const, ["t d, d g r -> t g r", p.wKR] as const];
    const [{ qn, qr }, c, kr] = splitProducts(p, x, z, entry, key);
    const [turned, turnedKey] = ready(at, qr && { x: qr }, { x: kr });
    return { qn, ...(turned && { qr: turned }), c, kr: turnedKey };
  },
  forms: {
    grouped: {
      about: "multi-query where g = 1: the entry is key and, without its rotary part, value",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * z.g * (z.n + z.r),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { qn, qr, c, kr }, view) => attend(c, view, [qn, c], ...rotary(qr, kr)),
    },
  },
  output: outputs,
});
