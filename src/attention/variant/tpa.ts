import { scaleBy } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { attendFactored } from "../../ops/factored/index.ts";
import { rmsNorm } from "../../ops/norm/index.ts";
import { contiguous } from "../../ops/pages/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineAttention, type Initial, type Sizes } from "../define.ts";
import { eps, outputFlops, outputParams, outputs, rankRules } from "./rank.ts";

const ranks = (z: Sizes) => ({ k: z.k ?? 0, l: z.l ?? 0 });

/** FLOPs of a new token: its factors, its query put together, the output. */
function projections(z: Sizes): number {
  const { k, l } = ranks(z);
  const [a, b] = [z.with?.fixedA ? 0 : z.h, z.with?.fixedB ? 0 : 1];
  const query = z.q ? z.d * z.q * (z.h + z.e) + z.q * z.h * z.e : z.d * z.h * z.e;
  return 2 * (query + z.d * (k * (a + b * z.e) + l * (a + b * z.v))) + outputFlops(z);
}

/** The mean over ranks of head factors `[s, h, k]` times dim factors `[s, k, e]`; one of them may be the same for all tokens. */
function together(a: Tensor, b: Tensor): Tensor {
  const spec = `${a.shape.length === 2 ? "" : "s "}h k, ${b.shape.length === 2 ? "" : "s "}k e -> s h e`;
  return scaleBy(einsum(spec, contiguous(a), contiguous(b)), 1 / b.shape.at(-2)!);
}

/** Uniform within Xavier's bound for a factor that maps `inputs` to `outputs` (T6's CPLinear). */
const xavier =
  (inputs: (z: Sizes) => number, outputs: (z: Sizes) => number): Initial =>
  (random, z) =>
    (2 * random.uniform() - 1) * Math.sqrt(6 / (inputs(z) + outputs(z)));
const [k, l] = [(z: Sizes) => z.k ?? 1, (z: Sizes) => z.l ?? 1];

/**
 * Tensor Product Attention: each head's query, key and value is a sum over few ranks of a head factor times a dim factor that all
 * heads share. A token leaves its factors. Rotating the dim factors rotates every head's key, since all share them.
 */
export const tpa = defineAttention({
  name: "TPA",
  source: "Zhang et al., TPA (arXiv 2501.06425)",
  qkNorm: "does not: the length of a head's key is known only once it is put together",
  features: ["fixedA", "fixedB", "outputNorm"],
  rules: (z) => [
    [ranks(z).k > 0, "k", "the keys' rank is at least 1"],
    [ranks(z).l > 0, "l", "the values' rank is at least 1"],
    [z.r % 2 === 0, "r", "the rotary dims are even"],
    [
      !(z.with?.fixedA && z.with.fixedB),
      "k",
      "one of its two factors depends on the token (fixedA or fixedB, not both)",
    ],
    [!(z.with?.fixedB && z.r), "r", "a dim factor that is the same for all tokens has no position (r = 0)"],
    ...rankRules(z),
  ],
  params: (z) => ({
    wQ: z.q ? undefined : "d h e",
    wAQ: z.q ? "d h q" : undefined,
    wBQ: z.q ? "d q e" : undefined,
    wAK: z.with?.fixedA ? "h k" : "d h k",
    wBK: z.with?.fixedB ? "k e" : "d k e",
    wAV: z.with?.fixedA ? "h l" : "d h l",
    wBV: z.with?.fixedB ? "l v" : "d l v",
    gO: z.with?.outputNorm ? "v" : undefined,
    ...outputParams(z),
  }),
  initial: {
    wAQ: xavier(
      (z) => z.d * z.q,
      (z) => z.h * z.q,
    ),
    wBQ: xavier(
      (z) => z.d * z.e,
      (z) => z.q * z.e,
    ),
    wAK: xavier(
      (z) => z.d * k(z),
      (z) => z.h * k(z),
    ),
    wBK: xavier(
      (z) => z.d * z.e,
      (z) => k(z) * z.e,
    ),
    wAV: xavier(
      (z) => z.d * l(z),
      (z) => z.h * l(z),
    ),
    wBV: xavier(
      (z) => z.d * z.v,
      (z) => l(z) * z.v,
    ),
  },
  query: () => ({ q: "h e" }),
  cache: (z) => ({
    ak: z.with?.fixedA ? undefined : "h k",
    bk: z.with?.fixedB ? undefined : "k e",
    av: z.with?.fixedA ? undefined : "h l",
    bv: z.with?.fixedB ? undefined : "l v",
  }),
  unfolded: () => ({ k: "h e", v: "h v" }),
  unfold: (p, { ak = p.wAK, bk = p.wBK, av = p.wAV, bv = p.wBV }) => ({ k: together(ak, bk), v: together(av, bv) }),
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [fixedA, fixedB] = [z.with?.fixedA, z.with?.fixedB];
    const [whole, aq, bq, ak, av, rawK, bv] = products(
      x,
      ["t d, d h e -> t h e", p.wQ],
      ["t d, d h q -> t h q", p.wAQ],
      ["t d, d q e -> t q e", p.wBQ, undefined, { times: 1 / z.q }],
      ["t d, d h k -> t h k", fixedA ? undefined : p.wAK],
      ["t d, d h l -> t h l", fixedA ? undefined : p.wAV],
      ["t d, d k e -> t k e", fixedB ? undefined : p.wBK],
      ["t d, d l v -> t l v", fixedB ? undefined : p.wBV],
    );
    // The mean over ranks; to turn it is to turn each of them.
    const raw = whole ?? einsum("t h q, t q e -> t h e", aq!, bq!);
    const [q, bk] = ready(at, { x: raw }, rawK && { x: rawK });
    return { q, ...(ak && av && { ak, av }), ...(bk && bv && { bk, bv }) };
  },
  forms: {
    expanded: {
      about: "multi-head: puts keys and values together (training, prefill)",
      over: "unfolded",
      cost: (z) => ({
        token: projections(z),
        cached: 2 * z.h * (ranks(z).k * z.e + ranks(z).l * z.v),
        pair: 2 * z.h * (z.e + z.v),
      }),
      run: (_p, { q, k, v }, view) => attend(v, view, [q, k]),
    },
    factored: {
      about: "reads the factors alone and never makes a key or value (decode)",
      cost: (z) => ({
        token: projections(z),
        cached: 0,
        pair: 2 * z.h * (ranks(z).k * (z.e + 1) + ranks(z).l * (z.v + 1)),
      }),
      run(p, { q, ak = p.wAK, bk = p.wBK, av = p.wAV, bv = p.wBV }, view) {
        const mean = { ...view, scale: view.scale / bk.shape.at(-2)! };
        return attendFactored({ q, ak, bk, av, bv }, mean, 1 / bv.shape.at(-2)!);
      },
    },
  },
  output: (p, o, at, z, parts, residual) => outputs(p, p.gO ? rmsNorm(o, p.gO, eps(z)) : o, at, z, parts, residual),
});
