import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { rope } from "../ops/rope/index.ts";
import { defineAttention } from "./define.ts";
import { outerFlops, outputParams, outputs, splitQueries, splitQueryParams } from "./rank.ts";

/** Sharing S1: key and value share n dims; the key adds r rotary dims, the value r dims of its own. */
export const s1 = defineAttention({
  name: "S1",
  source: "kexue.fm/archives/10907, part III",
  rules: (z) => [
    [z.g > 0 && z.h % z.g === 0, "g", `the groups divide the heads (h = ${z.h})`],
    [z.n > 0, "n", "the shared dims are at least 1"],
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
    [z.v === z.e, "v", `the value is as wide as the key (n + r = ${z.e})`],
  ],
  params: (z) => ({ ...splitQueryParams(z), wC: "d g n", wKR: "d g r", wVR: "d g r", ...outputParams(z) }),
  query: () => ({ qn: "h n", qr: "h r" }),
  cache: () => ({ c: "g n", kr: "g r", vr: "g r" }),
  scale: (z) => z.e ** -0.5,
  project: (p, x, at) => ({
    ...splitQueries(p, x, at),
    c: einsum("t d, d g n -> t g n", x, p.wC),
    kr: rope(einsum("t d, d g r -> t g r", x, p.wKR), at.rotation, at.positions),
    vr: einsum("t d, d g r -> t g r", x, p.wVR),
  }),
  forms: {
    grouped: {
      about: "the shared part is its group's key and value at once",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * z.g * (z.n + 2 * z.r),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { qn, qr, c, kr, vr }, view) => attend([c, vr], view, [qn, c], [qr, kr]),
    },
  },
  output: outputs,
});
