import { attend, type Term } from "../../ops/attend/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { multiply } from "../../ops/multiply/index.ts";
import { rmsNorm } from "../../ops/norm/index.ts";
import type { Factor } from "../../ops/products/index.ts";
import { type Raw, ready } from "../../ops/ready/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type At, defineAttention, type Sizes } from "../define.ts";
import { eps, outerFlops, outputParams, outputs, rankRules, splitProducts, splitQueryParams } from "./rank.ts";

/** FLOPs of a new token in either form: all but the latent's two up-projections, whose cost is `unfolding`. */
export const latentFlops = (z: Sizes) => outerFlops(z) + 2 * z.d * (z.c + z.r);
const unfolding = (z: Sizes) => 2 * z.c * z.h * (z.n + z.v);

/** What makes the latent and the key that all heads share. */
export const latentParams = (z: Sizes) => ({
  wDKV: "d c",
  bDKV: z.bias ? "c" : undefined,
  gKV: z.with?.plainLatent ? undefined : "c",
  wKR: z.r ? "d r" : undefined,
  bKR: z.r && z.bias ? "r" : undefined,
});

type LatentHeld = Parameters<typeof splitProducts>[0] &
  Record<"wDKV", Tensor> &
  Record<"bDKV" | "gKV" | "wKR" | "bKR", Tensor | undefined> & { gQN?: Tensor | undefined };

/** The products that lead to queries, the latent and the rotated key, then what else is asked of the same rows. */
export function latentProducts<const F extends readonly Factor<Tensor | undefined>[]>(
  p: LatentHeld,
  x: Tensor,
  z: Sizes,
  ...factors: F
) {
  return splitProducts(p, x, z, ["t d, d c -> t c", p.wDKV, p.bDKV], ["t d, d r -> t r", p.wKR, p.bKR], ...factors);
}

type Made = ReturnType<typeof latentProducts<[]>>;

/** Of these queries, the latent, normed where p has a gain for that, the key, turned as the queries are, and an indexer's own key. */
export function readyLatent(p: LatentHeld, [{ qn, qr, qi }, c, kr]: Readonly<Made>, at: At, z: Sizes, ki?: Raw) {
  const [plain, turned, latent, key, index, indexed] = ready(
    at,
    { x: qn, gain: p.gQN, eps: eps(z), turned: false },
    qr && { x: qr },
    { x: c, gain: p.gKV, eps: eps(z), turned: false },
    kr && { x: kr },
    qi && { x: qi },
    ki,
  );
  return {
    qn: plain,
    c: latent,
    ...(turned && { qr: turned }),
    ...(key && { kr: key }),
    ...(index && { qi: index }),
    ...(indexed && { ki: indexed }),
  };
}

/** The rotary term, where there is one. */
export const rotary = (qr: Tensor | undefined, kr: Tensor | undefined): Term[] => (qr && kr ? [[qr, kr]] : []);

export const latentRules = (z: Sizes) =>
  [
    [z.c > 0, "c", "the latent rank is at least 1"],
    [z.n > 0, "n", "the key dims without position are at least 1: only they fold into the latent"],
    [z.r % 2 === 0, "r", "the rotary dims are even"],
    ...rankRules(z),
  ] as const;

/** The axes of the gate on heads' outputs, where there is one: a number for each of theirs, or one for each head. */
const gateOf = (z: Sizes) => (z.with?.headGate ? "h" : z.with?.outputGate ? "h v" : undefined);
/** The product that makes that gate. */
export const gateFactor = ({ wG }: { wG: Tensor | undefined }) =>
  [wG?.shape.length === 2 ? "t d, d h -> t h" : "t d, d h v -> t h v", wG, undefined, { by: "sigmoid" }] as const;
const gatedFlops = (z: Sizes) => {
  const width = { none: 0, h: 1, "h v": z.v }[gateOf(z) ?? "none"];
  return latentFlops(z) + 2 * z.d * z.h * width;
};

/** Multi-head Latent Attention: each token leaves one small latent c and one rotated key kr that all heads share. */
export const mla = defineAttention({
  name: "MLA",
  source: "DeepSeek-V2 (arXiv 2405.04434), section 2.1; kexue.fm/archives/10091",
  qkNorm:
    "does not: a norm after the up-projection needs the length of each head's own key, which absorption never makes; the latent's norm is in both forms",
  features: ["qkNorm", "outputGate", "headGate", "plainLatent", "queryBias"],
  rules: (z) => [
    ...latentRules(z),
    [!z.with?.outputGate || !z.with.headGate, "v", "its output has one gate: per head, or per number"],
  ],
  params: (z) => ({
    ...splitQueryParams(z),
    bUQ: z.with?.queryBias ? "h n" : undefined,
    bQR: z.with?.queryBias && z.r ? "h r" : undefined,
    ...latentParams(z),
    wUK: "c h n",
    wUV: "c h v",
    gQN: z.with?.qkNorm ? "n" : undefined,
    gKN: z.with?.qkNorm ? "n" : undefined,
    wG: gateOf(z) && `d ${gateOf(z)}`,
    ...outputParams(z),
  }),
  query: (z) => ({ qn: "h n", qr: z.r ? "h r" : undefined, gate: gateOf(z) }),
  cache: (z) => ({ c: "c", kr: z.r ? "r" : undefined }),
  unfolded: (z) => ({ kn: "h n", v: "h v", kr: z.r ? "r" : undefined }),
  unfold(p, { c, kr }, z) {
    const kn = einsum("s c, c h n -> s h n", c, p.wUK);
    return {
      kn: p.gKN ? rmsNorm(kn, p.gKN, eps(z)) : kn,
      v: einsum("s c, c h v -> s h v", c, p.wUV),
      ...(kr && { kr }),
    };
  },
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z) {
    const [queries, c, kr, gate] = latentProducts(p, x, z, gateFactor(p));
    return { ...readyLatent(p, [queries, c, kr], at, z), ...(gate && { gate }) };
  },
  forms: {
    expanded: {
      about: "multi-head: unfolds the latent into keys and values per head; least arithmetic (training, prefill)",
      over: "unfolded",
      cost: (z) => ({ token: gatedFlops(z), cached: unfolding(z), pair: 2 * z.h * (z.e + z.v) }),
      run: (_p, { qn, qr, kn, v, kr }, view) => attend(v, view, [qn, kn], ...rotary(qr, kr)),
    },
    absorbed: {
      about: "multi-query: folds wUK into the query and wUV into the output; least traffic (decode)",
      refuses: (z) =>
        z.with?.qkNorm &&
        "a norm on each head's key after the up-projection needs that key, which absorption never makes; run expanded, or norm the latent alone",
      cost: (z) => ({ token: gatedFlops(z) + unfolding(z), cached: 0, pair: 2 * z.h * (2 * z.c + z.r) }),
      run(p, { qn, qr, c, kr }, view) {
        const qc = einsum("t h n, c h n -> t h c", qn, p.wUK);
        const oc = attend(c, view, [qc, c], ...rotary(qr, kr));
        return einsum("t h c, c h v -> t h v", oc, p.wUV);
      },
    },
  },
  output: (p, o, at, z, parts, residual) =>
    outputs(p, parts.gate ? multiply(o, parts.gate) : o, at, z, parts, residual),
});
