import { attend, type View } from "../../ops/attend/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { rope } from "../../ops/rope/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineAttention, type Sizes } from "../define.ts";
import { flatten, pick, placement, spread } from "./placement.ts";
import {
  eps,
  groupRules,
  outerFlops,
  outputParams,
  outputs,
  queryParams,
  rankRules,
  wholeFactors,
  wholeQueries,
} from "./rank.ts";

const projections = (z: Sizes) => outerFlops(z) + 2 * z.d * z.g * z.e;
const row = (z: Sizes) => z.g * z.e;
/** With a logit per head that takes its share of the weights and gives nothing. */
const sunk = (p: { aSink: Tensor | undefined }, view: View): View => (p.aSink ? { ...view, sinks: p.aSink } : view);

/**
 * Sharing S2: key and value are one and the same, rotated part included. The output then carries each key's rotation; turning
 * its last r dims back by the query's own angle leaves relative positions only (VO-RoPE).
 */
export const s2 = defineAttention({
  name: "S2",
  source: "kexue.fm/archives/10907, part III; VO-RoPE: kexue.fm/archives/10862; DeepSeek-V4 (arXiv 2606.19348)",
  qkNorm: "survives: the entry is normed before it is cached",
  features: ["entryNorm", "sinks"],
  rules: (z) => [
    ...groupRules(z),
    ...rankRules(z),
    [z.r > 0 && z.r % 2 === 0, "r", "the rotary dims are even and at least 2"],
    [z.v === z.e, "v", `the value is the key (n + r = ${z.e})`],
  ],
  params: (z) => ({
    ...queryParams(z),
    wC: "d g e",
    gC: z.with?.entryNorm ? "e" : undefined,
    aSink: z.with?.sinks ? "h" : undefined,
    ...outputParams(z),
  }),
  query: () => ({ q: "h e" }),
  cache: () => ({ c: "g e" }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [cq, first, entry] = products(x, ...wholeFactors(p), ["t d, d g e -> t g e", p.wC]);
    const [q, c] = ready(at, wholeQueries(p, x, z, [cq, first]), { x: entry, gain: p.gC, eps: eps(z) });
    return { q, c };
  },
  forms: {
    grouped: {
      about: "each group's heads read its own entry, as key and as value",
      cost: (z) => ({ token: projections(z), cached: 0, pair: 2 * z.h * (z.e + z.v) }),
      run: (p, { q, c }, view) => attend(c, sunk(p, view), [q, c]),
    },
    shared: {
      about: "multi-query: the groups' entries side by side are one key and value of every head",
      cost: (z) => ({
        token: projections(z) + 4 * z.h * z.e * row(z),
        cached: 2 * row(z) ** 2,
        pair: 4 * z.h * row(z),
      }),
      run(p, { q, c }, view, z) {
        const places = placement(q, z.g, z.e, 0, row(z));
        const all = flatten(c, places);
        return pick(attend(all, sunk(p, view), [spread(q, places), all]), places);
      },
    },
  },
  output: (p, o, at, z, parts, residual) =>
    outputs(p, rope(o, at.rotation, at.positions, "inverse"), at, z, parts, residual),
});
