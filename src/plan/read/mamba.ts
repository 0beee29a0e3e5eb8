import type { Costed, Sizes } from "../../attention/define.ts";
import { gqa } from "../../attention/variant/gqa.ts";

// Layers with a state that are neither delta nets nor linear attention, and what stands for a layer without attention.

/** Which letters of sizes say how many heads there are, how wide they are, and how many rows and groups the state has. */
interface Letters {
  readonly h: "h" | "j";
  readonly v: "v" | "l";
  readonly n: "n" | "k";
  readonly g: "g" | "m";
}

const recurrent = "token by token: the same work however long the past is";

/**
 * Mamba-2 (arXiv 2405.21060): h heads of v dims with a state of n rows each, which a token decays, adds to and reads; keys and
 * queries of g groups; convolutions of w taps over what enters. FLOPs of the state: 5 for each of its numbers.
 */
const mambaParts = ({ h, v, n, g }: Letters) => ({
  params: (z: Sizes) => ({
    wMZ: `d ${h} ${v}`,
    wMX: `d ${h} ${v}`,
    wMB: `d ${g} ${n}`,
    wMC: `d ${g} ${n}`,
    wMT: `d ${h}`,
    fMX: `${h} ${v} w`,
    fMB: `${g} ${n} w`,
    fMC: `${g} ${n} w`,
    ...(z.with?.convBias && { bMX: `${h} ${v}`, bMB: `${g} ${n}`, bMC: `${g} ${n}` }),
    aM: h,
    dM: h,
    bMT: h,
    gMO: z.with?.outputNorm ? `${h} ${v}` : undefined,
    wMO: `${h} ${v} d`,
  }),
  state: () => ({
    memory: `${h} ${v} ${n}`,
    conv: `${h} ${v} w-1`,
    convB: `${g} ${n} w-1`,
    convC: `${g} ${n} w-1`,
  }),
  token(z: Sizes) {
    const [inner, keys] = [z[h]! * z[v]!, z[g]! * z[n]!];
    const projected = 2 * z.d * (3 * inner + 2 * keys + z[h]!);
    return projected + 2 * (z.w ?? 0) * (inner + 2 * keys) + 5 * inner * z[n]!;
  },
});

const own = mambaParts({ h: "h", v: "v", n: "n", g: "g" });
const beside = mambaParts({ h: "j", v: "l", n: "k", g: "m" });

/** A layer of Mamba-2 alone. */
export const mamba2: Costed = {
  name: "Mamba-2",
  source: "Mamba-2 (arXiv 2405.21060); transformers, nemotron_h and bamba",
  window: false,
  features: ["convBias", "outputNorm"],
  rules: (z) => [
    [z.g > 0 && z.h % z.g === 0, "g", "groups divide the heads"],
    [(z.w ?? 0) > 0, "w", "a convolution has at least one tap"],
  ],
  params: own.params,
  cache: () => ({}),
  state: own.state,
  forms: { recurrent: { about: recurrent, cost: (z) => ({ token: own.token(z), cached: 0, pair: 0 }) } },
};

const { grouped } = gqa.forms;

/** Mamba-2 of j heads of l dims, with k rows and m groups, beside grouped heads that see the same input (Falcon-H1). */
export const mambaBeside: Costed = {
  ...gqa,
  name: "GQA+Mamba-2",
  source: "Falcon-H1 (arXiv 2507.22448); transformers, falcon_h1",
  features: [...(gqa.features ?? []), "convBias", "outputNorm"],
  rules: (z) => [...gqa.rules(z), [(z.w ?? 0) > 0 && (z.j ?? 0) > 0, "w", "a convolution has at least one tap"]],
  params: (z) => ({ ...gqa.params(z), ...beside.params(z) }),
  state: beside.state,
  forms: {
    grouped: {
      ...grouped!,
      cost(z) {
        const cost = grouped!.cost(z);
        return { ...cost, token: cost.token + beside.token(z) };
      },
    },
  },
};

/** Mamba (arXiv 2312.00752): v channels with a state of n rows each, steps through a bottleneck of rank c; norms on what it makes of it (Jamba). */
export const mamba1: Costed = {
  name: "Mamba",
  source: "Mamba (arXiv 2312.00752); transformers, jamba",
  window: false,
  features: ["convBias", "qkNorm"],
  rules: (z) => [
    [(z.w ?? 0) > 0, "w", "a convolution has at least one tap"],
    [z.c > 0, "c", "the step's rank is at least 1"],
  ],
  params: (z) => ({
    wX: "d v",
    wZ: "d v",
    fX: "v w",
    bX: z.with?.convBias ? "v" : undefined,
    wT: "v c",
    wB: "v n",
    wC: "v n",
    wUT: "c v",
    bT: "v",
    ...(z.with?.qkNorm && { gT: "c", gB: "n", gC: "n" }),
    aX: "v n",
    dX: "v",
    wO: "v d",
  }),
  cache: () => ({}),
  state: () => ({ memory: "v n", conv: "v w-1" }),
  forms: {
    recurrent: {
      about: recurrent,
      cost: ({ d, v, n, c, w = 0 }) => ({
        token: 6 * d * v + 2 * v * (2 * c + 2 * n + w) + 5 * v * n,
        cached: 0,
        pair: 0,
      }),
    },
  },
};

/** A convolution of w taps over v channels between two gates (LFM2). */
export const shortConvolution: Costed = {
  name: "ShortConv",
  source: "LFM2 (arXiv 2511.23404); transformers, lfm2",
  window: false,
  features: ["convBias"],
  rules: (z) => [[(z.w ?? 0) > 0, "w", "a convolution has at least one tap"]],
  params: (z) => ({ wB: "d v", wC: "d v", wX: "d v", fX: "v w", bX: z.with?.convBias ? "v" : undefined, wO: "v d" }),
  cache: () => ({}),
  state: () => ({ conv: "v w-1" }),
  forms: {
    recurrent: {
      about: recurrent,
      cost: ({ d, v, w = 0 }) => ({ token: 8 * d * v + 2 * v * (w + 2), cached: 0, pair: 0 }),
    },
  },
};

/**
 * RWKV-7 (arXiv 2503.14456): h heads of v dims with a matrix of state, a generalized delta rule, and the last token's input to each
 * half of the block. Bottlenecks: q for the decay, k for the rate, l for the value's mix with the first layer's, o for the gate.
 */
export const rwkv7: Costed = {
  name: "RWKV-7",
  source: "RWKV-7 (arXiv 2503.14456); flash-linear-attention, rwkv7",
  window: false,
  features: ["valueShift"],
  rules: (z) => [[z.n === z.v, "n", "the state is square"]],
  params: (z) => ({
    wR: "d h n",
    wK: "d h n",
    wV: "d h v",
    wO: "h v d",
    xR: "d",
    xW: "d",
    xK: "d",
    xV: "d",
    xA: "d",
    xG: "d",
    kK: "h n",
    kA: "h n",
    rK: "h n",
    wDW: "d q",
    wUW: "q h n",
    bW: "h n",
    wDA: "d k",
    wUA: "k h n",
    bA: "h n",
    ...(z.with?.valueShift && { wDV: "d l", wUV: "l h v", bV: "h v" }),
    wDG: "d o",
    wUG: "o h v",
    gO: "h v",
    bO: "h v",
  }),
  cache: () => ({}),
  state: () => ({ memory: "h n v", shift: "d", feedShift: "d" }),
  forms: {
    recurrent: {
      about: recurrent,
      cost: ({ d, h, n, v, q, k = 0, l = 0, o }) => ({
        token: 8 * d * h * n + 4 * d * (q + k + l + o) + 9 * h * n * v,
        cached: 0,
        pair: 0,
      }),
    },
  },
};

/** A layer without attention: an MLP or experts alone (Nemotron-H), or nothing where a search left it out (Nemotron-NAS). */
export const nothing: Costed = {
  name: "none",
  source: "transformers, nemotron_h",
  window: false,
  rules: () => [],
  params: () => ({}),
  cache: () => ({}),
  forms: { nothing: { about: "no attention", cost: () => ({ token: 0, cached: 0, pair: 0 }) } },
};

/** Sizes that a layer without attention needs. */
export const noSizes = (d: number): Sizes => ({ d, h: 1, g: 1, n: 1, r: 0, e: 1, v: 1, c: 0, q: 0, o: 0 });
