import { add, scaleBy } from "../../ops/add/index.ts";
import { attend } from "../../ops/attend/index.ts";
import { addBias } from "../../ops/bias/index.ts";
import { einsum } from "../../ops/einsum/index.ts";
import { map } from "../../ops/map/index.ts";
import { multiply } from "../../ops/multiply/index.ts";
import { rmsNorm } from "../../ops/norm/index.ts";
import { previous } from "../../ops/previous/index.ts";
import { keepLast } from "../../ops/sequence.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type At, defineAttention, type Sizes } from "../define.ts";
import { gateFlops, gateParams, sumLogGates } from "./forget.ts";
import { eps, groupRules, outerFlops, outputParams, outputs, rankRules } from "./rank.ts";

/** Epsilon of the norms of queries and keys, whatever that of outputs is: fixed in the authors' code. */
const INNER = 1e-5;
const gated = (z: Sizes) => z.with?.outputGate || z.with?.siluGate;

/**
 * Token shift: alpha of the raw vector before, 1 - alpha of this one, alpha = sigmoid(x w) per group. `last` is the raw vector
 * before the first, and moves on.
 */
function shiftTokens(raw: Tensor, w: Tensor | undefined, x: Tensor, at: At, last: Tensor | undefined): Tensor {
  if (!w) return raw;
  const before = previous(raw, { batch: at.batch, first: last });
  const alpha = map(einsum("t d, d g -> t g", x, w), "sigmoid");
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
    const normed = (t: Tensor, gain: Tensor | undefined) => (gain ? rmsNorm(t, gain, INNER) : t);
    const k = addBias(einsum("t d, d g e -> t g e", x, p.wK), p.bK);
    const v = addBias(einsum("t d, d g v -> t g v", x, p.wV), p.bV);
    return {
      q: normed(addBias(einsum("t d, d h e -> t h e", x, p.wQ), p.bQ), p.gQ),
      k: normed(shiftTokens(k, p.wSK, x, at, state?.lastK), p.gK),
      v: shiftTokens(v, p.wSV, x, at, state?.lastV),
      f: sumLogGates(p, x, at, state?.total),
      ...(p.wG && { gate: map(einsum("t d, d h v -> t h v", x, p.wG), z.with?.siluGate ? "silu" : "sigmoid") }),
    };
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
