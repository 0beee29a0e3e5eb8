import { attend, type Term, type View } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { gatherRows } from "../../ops/embed/index.ts";
import { contiguous, gatherPages } from "../../ops/pages/index.ts";
import { select } from "../../ops/select/index.ts";
import { eachSequence } from "../../ops/sequence.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type At, defineAttention, type Sizes } from "../define.ts";
import { latentFlops, latentParams, latentProducts, latentRules, readyLatent, rotary } from "./mla.ts";
import { eps, outputParams, outputs, splitQueryParams } from "./rank.ts";

const indexer = (z: Sizes) => ({ i: z.i ?? 0, j: z.j ?? 0, m: z.m ?? 0 });
/** The indexer's projections and the centring of its key. */
function indexFlops(z: Sizes): number {
  const { i, j } = indexer(z);
  return 2 * ((z.q || z.d) * j * i + z.d * i + i * i + z.d * j);
}

const pairFlops = (z: Sizes) => 2 * indexer(z).j * (indexer(z).i + 1);

/** Keys per selected one up to which hiding the others is cheaper than gathering those chosen (LOG.md). */
const HIDE = 8;
/** Queries of a sequence for which no more than the chosen rows shall be read. */
const FEW = 4;

/** Attention of each query over the keys it selects: `values` and the keys of `terms` hold all of them. */
function sparse(
  parts: { qi: Tensor; ki: Tensor; wi: Tensor },
  values: Tensor,
  view: View,
  at: At,
  z: Sizes,
  ...terms: readonly Term[]
): Tensor {
  const { i, j, m } = indexer(z);
  const { batch } = at;
  if (typeof batch === "object")
    return eachSequence(batch, (own) => {
      const index = { qi: own(parts.qi), ki: own(parts.ki), wi: own(parts.wi) };
      const seen = { ...view, batch: 1 };
      return sparse(index, own(values), seen, { ...at, batch: 1 }, z, ...terms.map(([q, k]): Term => [own(q), own(k)]));
    });
  const [queries, s] = [parts.qi.shape[0]!, parts.ki.shape[0]! / batch];
  // The weights' own scale j^-0.5 goes with that of the products, which it may, being positive.
  const choice = { scale: (i * j) ** -0.5, count: Math.min(m, s), batch };
  const { rows, missing } = select({ q: parts.qi, k: parts.ki, weights: parts.wi }, choice);
  const picks = values.device.picks && !values.recorder;
  if (picks || (queries / batch > FEW && s <= HIDE * m)) return attend(values, { ...view, chosen: rows }, ...terms);
  // As many sequences of one query, each over its own rows; a value that is a key stays that key.
  const gathered = new Map<Tensor, Tensor>();
  const own = (t: Tensor) => {
    const known = gathered.get(t) ?? (t.paging ? gatherPages(t, rows) : gatherRows(t, rows, { batch }));
    gathered.set(t, known);
    return known;
  };
  const alone = { scale: view.scale, batch: queries, causal: false, start: missing };
  return attend(own(values), alone, ...terms.map(([q, k]): Term => [q, own(k)]));
}

/**
 * DeepSeek sparse attention on MLA: a small indexer scores all visible tokens, and a query attends to the m best alone. The choice
 * has no gradient: trained by the language loss alone, the indexer stays as it began.
 */
export const dsa = defineAttention({
  name: "DSA",
  source: "DeepSeek-V3.2 (arXiv 2512.02556), section 2.1",
  qkNorm: "does not, as in MLA",
  window: false,
  rules: (z) => [
    ...latentRules(z),
    [indexer(z).i >= Math.max(1, z.r), "i", `the indexer's heads hold the rotary dims (r = ${z.r})`],
    [indexer(z).j > 0, "j", "the indexer has at least one head"],
    [indexer(z).m > 0, "m", "at least one key is selected"],
  ],
  params: (z) => ({
    ...splitQueryParams(z),
    ...latentParams(z),
    wUK: "c h n",
    wUV: "c h v",
    wQI: z.q ? "q j i" : "d j i",
    wKI: "d i",
    gKI: "i",
    bKI: "i",
    wWI: "d j",
    ...outputParams(z),
  }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined, qi: "j i", wi: "j" }),
  cache: (z) => ({ c: "c", kr: z.r ? "r" : undefined, ki: "i" }),
  /** What engines that keep keys and values keep; `sparse` takes its rows of the latents itself, so that nothing here unfolds them. */
  unfolded: (z) => ({ kn: "h n", v: "h v", kr: z.r ? "r" : undefined, ki: "i" }),
  scale: (z) => z.e ** -0.5,
  reads: (z, context) => indexer(z).i * context + (z.c + z.r) * Math.min(indexer(z).m, context),
  project(p, x, at, z) {
    const [queries, c, kr, raw, wi] = latentProducts(p, x, z, ["t d, d i -> t i", p.wKI], ["t d, d j -> t j", p.wWI]);
    const key = { x: raw, gain: p.gKI, bias: p.bKI, eps: eps(z) };
    const { qi, ki, ...parts } = readyLatent(p, [queries, c, kr], at, z, key);
    return { ...parts, qi: qi!, ki: ki!, wi };
  },
  forms: {
    expanded: {
      about: "multi-head over the keys and values of the selected tokens",
      cost: (z) => ({
        token: latentFlops(z) + indexFlops(z),
        cached: 2 * z.c * z.h * (z.n + z.v),
        pair: pairFlops(z),
        choosing: { token: indexFlops(z), pair: pairFlops(z) },
        selected: 2 * z.h * (z.e + z.v),
      }),
      run(p, { qn, qr, c, kr, ...index }, view, z, at) {
        const all = contiguous(c);
        const kn = einsum("s c, c h n -> s h n", all, p.wUK);
        const values = einsum("s c, c h v -> s h v", all, p.wUV);
        return sparse(index, values, view, at, z, [qn, kn], ...rotary(qr, kr));
      },
    },
    absorbed: {
      about: "multi-query over the latents of the selected tokens: reads m rows however long the past is",
      cost: (z) => ({
        token: latentFlops(z) + indexFlops(z) + 2 * z.c * z.h * (z.n + z.v),
        cached: 0,
        pair: pairFlops(z),
        choosing: { token: indexFlops(z), pair: pairFlops(z) },
        selected: 2 * z.h * (2 * z.c + z.r),
      }),
      run(p, { qn, qr, c, kr, ...index }, view, z, at) {
        const qc = einsum("t h n, c h n -> t h c", qn, p.wUK);
        const oc = sparse(index, c, view, at, z, [qc, c], ...rotary(qr, kr));
        return einsum("t h c, c h v -> t h v", oc, p.wUV);
      },
    },
  },
  output: outputs,
});
