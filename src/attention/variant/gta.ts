import { attend } from "../../ops/attend/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { defineAttention } from "../define.ts";
import { groupRules, outerFlops, outputParams, outputs, rankRules, splitProducts, splitQueryParams } from "./rank.ts";

/**
 * Grouped-Tied Attention: a group's value is one vector, whose first n dims are its key's part without position; the rotary
 * part of the key is shared by all heads. The value's further dims (v - n) are its own.
 */
export const gta = defineAttention({
  name: "GTA",
  source: "Zadouri, Strauss, Dao (arXiv 2505.21487), section 3",
  qkNorm: "one form only",
  rules: (z) => [
    ...groupRules(z),
    [z.n > 0, "n", "the tied dims are at least 1"],
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
    [z.v === z.e, "v", `the value is as wide as the key (n + r = ${z.e})`],
    ...rankRules(z),
  ],
  params: (z) => ({ ...splitQueryParams(z), wC: "d g n", wKR: "d r", wVR: "d g r", ...outputParams(z) }),
  query: () => ({ qn: "h n", qr: "h r" }),
  cache: () => ({ c: "g n", vr: "g r", kr: "r" }),
  scale: (z) => z.e ** -0.5,
  project: (p, x, at, z) => {
    const [{ qn, qr }, c, vr, kr] = splitProducts(
      p,
      x,
      z,
      ["t d, d g n -> t g n", p.wC],
      ["t d, d g r -> t g r", p.wVR],
      ["t d, d r -> t r", p.wKR],
    );
    const [turned, key] = ready(at, { x: qr! }, { x: kr });
    return { qn, qr: turned, c, vr, kr: key };
  },
  forms: {
    grouped: {
      about: "the tied part is its group's key and value at once; one rotary key serves all heads",
      cost: (z) => ({
        token: outerFlops(z) + 2 * z.d * (z.g * z.v + z.r),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { qn, qr, c, vr, kr }, view) => attend([c, vr], view, [qn, c], [qr, kr]),
    },
  },
  output: outputs,
});
