import { add, scaleBy } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { multiply } from "../../ops/multiply/index.ts";
import { rmsNorm } from "../../ops/norm/index.ts";
import { previous } from "../../ops/previous/index.ts";
import { products } from "../../ops/products/index.ts";
import { ready } from "../../ops/ready/index.ts";
import { keepLast } from "../../ops/sequence.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type At, defineAttention, type Sizes } from "../define.ts";
import { gateFlops, gateParams, logGates, sumGates } from "./forget.ts";
import { eps, groupRules, outerFlops, outputParams, outputs, rankRules } from "./rank.ts";

/** Epsilon of the norms of queries and keys, whatever that of outputs is: fixed in the authors' code. */
const INNER = 1e-5;
const gated = (z: Sizes) => z.with?.outputGate || z.with?.siluGate;

/**
 * Token shift: alpha of the raw vector before, 1 - alpha of this one, one alpha per group. `last` is the raw vector before the
 * first, and moves on.
 */
function shiftTokens(raw: Tensor, alpha: Tensor | undefined, at: At, last: Tensor | undefined): Tensor {
  if (!alpha) return raw;
  const before = previous(raw, { batch: at.batch, first: last });
  if (last) keepLast(raw, last, at.batch);
  return add(raw, multiply(add(before, scaleBy(raw, -1)), alpha));
}

/** The Forgetting Transformer's attention, plain or with the parts that make it Pro, over grouped keys and values. */
export const fox = defineAttention({
  name: "FoX",
  source: "Lin et al., FoX (arXiv 2503.02130), sections 3 and 4",
  qkNorm: "one form only; norms come after the shift and before the cache",
  features: ["keyShift", "valueShift", "qkNorm", "outputNorm", "outputGate", "siluGate"],
  rules: (z) => [
    ...groupRules(z),
    [z.r === 0, "r", "the gate takes the place of rotary position (r = 0)"],
    [z.q === 0, "q", "queries have no bottleneck"],
    [!(z.with?.outputGate && z.with.siluGate), "v", "an output has one gate"],
    ...rankRules(z),
  ],
  params: (z) => ({
    wQ: "d h e",
    bQ: z.bias ? "h e" : undefined,
    gQ: z.with?.qkNorm ? "h e" : undefined,
    wK: "d g e",
    bK: z.bias ? "g e" : undefined,
    gK: z.with?.qkNorm ? "g e" : undefined,
    wV: "d g v",
    bV: z.bias ? "g v" : undefined,
    wSK: z.with?.keyShift ? "d g" : undefined,
    wSV: z.with?.valueShift ? "d g" : undefined,
    ...gateParams,
    wG: gated(z) ? "d h v" : undefined,
    gO: z.with?.outputNorm ? "h v" : undefined,
    ...outputParams(z),
  }),
  query: (z) => ({ q: "h e", gate: gated(z) ? "h v" : undefined }),
  cache: () => ({ k: "g e", v: "g v", f: "h" }),
  exact: ["f"],
  state: (z) =>
    ({
      total: "h",
      ...(z.with?.keyShift && { lastK: "g e" }),
      ...(z.with?.valueShift && { lastV: "g v" }),
    }) as Record<string, string>,
  scale: (z) => z.e ** -0.5,
  project(p, x, at, z, state) {
    const alpha = { by: "sigmoid" } as const;
    const [q, rawK, rawV, gates, alphaK, alphaV, gate] = products(
      x,
      ["t d, d h e -> t h e", p.wQ, p.bQ],
      ["t d, d g e -> t g e", p.wK, p.bK],
      ["t d, d g v -> t g v", p.wV, p.bV],
      logGates(p),
      ["t d, d g -> t g", p.wSK, undefined, alpha],
      ["t d, d g -> t g", p.wSV, undefined, alpha],
      ["t d, d h v -> t h v", p.wG, undefined, { by: z.with?.siluGate ? "silu" : "sigmoid" }],
    );
    const f = sumGates(gates, at, state?.total);
    const [k, v] = [shiftTokens(rawK, alphaK, at, state?.lastK), shiftTokens(rawV, alphaV, at, state?.lastV)];
    const inner = { eps: INNER, turned: false };
    const [normedQ, normedK] = ready(at, { x: q, gain: p.gQ, ...inner }, { x: k, gain: p.gK, ...inner });
    return { q: normedQ, k: normedK, v, f, ...(gate && { gate }) };
  },
  forms: {
    grouped: {
      about: "each group's heads read its own keys and values; every head has its own gate",
      cost: (z) => ({
        token:
          outerFlops(z) +
          gateFlops(z) +
          2 * z.d * z.g * (z.e + z.v + (z.with?.keyShift ? 1 : 0) + (z.with?.valueShift ? 1 : 0)) +
          (gated(z) ? 2 * z.d * z.h * z.v : 0),
        cached: 0,
        pair: 2 * z.h * (z.e + z.v + 1),
      }),
      run: (_p, { q, k, v, f }, view) => attend(v, { ...view, decay: f }, [q, k]),
    },
  },
  output(p, o, at, z, parts, residual) {
    const { gate } = parts;
    const normed = p.gO ? rmsNorm(o, p.gO, eps(z)) : o;
    return outputs(p, gate ? multiply(normed, gate) : normed, at, z, parts, residual);
  },
});
