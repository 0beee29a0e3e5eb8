import { add } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
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

const projections = (z: Sizes) => outerFlops(z) + 2 * z.d * z.g * (z.e + z.v);
/** The width g(e + v) of the row that the shared form makes of all keys and values of a token. */
const row = (z: Sizes) => z.g * (z.e + z.v);

/** Grouped-query attention. MHA: every head has its own group (g = h). MQA: all heads share one (g = 1). */
export const gqa = defineAttention({
  name: "GQA",
  source: "Ainslie et al. (arXiv 2305.13245); Shazeer (arXiv 1911.02150); kexue.fm/archives/10907",
  qkNorm: "survives: the normed key is what is cached, and the shared form only lays it in a row",
  features: ["qkNorm"],
  rules: (z) => [...groupRules(z), ...rankRules(z), [z.r % 2 === 0, "r", "the rotary dims are even"]],
  params: (z) => ({
    ...queryParams(z),
    bQ: z.bias ? "h e" : undefined,
    wK: "d g e",
    bK: z.bias ? "g e" : undefined,
    gKH: z.with?.qkNorm ? "e" : undefined,
    wV: "d g v",
    bV: z.bias ? "g v" : undefined,
    ...outputParams(z),
  }),
  query: () => ({ q: "h e" }),
  cache: () => ({ k: "g e", v: "g v" }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [cq, q, k, v] = products(
      x,
      ...wholeFactors(p),
      ["t d, d g e -> t g e", p.wK, p.bK],
      ["t d, d g v -> t g v", p.wV, p.bV],
    );
    const [turnedQ, turnedK] = ready(at, wholeQueries(p, x, z, [cq, q]), { x: k, gain: p.gKH, eps: eps(z) });
    return { q: turnedQ, k: turnedK, v };
  },
  forms: {
    grouped: {
      about: "each group's heads read its own keys and values",
      cost: (z) => ({ token: projections(z), cached: 0, pair: 2 * z.h * (z.e + z.v) }),
      run: (_p, { q, k, v }, view) => attend(v, view, [q, k]),
    },
    shared: {
      about: "multi-query with K = V: one row of g(e + v) numbers per token is key and value of every head",
      cost: (z) => ({
        token: projections(z) + 2 * z.h * (z.e + z.v) * row(z),
        cached: 2 * row(z) ** 2,
        pair: 4 * z.h * row(z),
      }),
      run(_p, { q, k, v }, view, z) {
        const keys = placement(q, z.g, z.e, 0, row(z));
        const values = placement(q, z.g, z.v, z.g * z.e, row(z));
        const c = add(flatten(k, keys), flatten(v, values));
        return pick(attend(c, view, [spread(q, keys), c]), values);
      },
    },
  },
  output: outputs,
});
