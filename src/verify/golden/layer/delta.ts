import { z } from "zod";
import type { Sizes } from "../../../attention/define.ts";
import { gdn } from "../../../attention/variant/gdn.ts";
import { kda } from "../../../attention/variant/kda.ts";
import { count, limits } from "../../../family/config.ts";
import { linear, type Source, vector } from "../../../family/source.ts";
import type { TensorReader } from "../../../file/safetensors.ts";
import { rotation } from "../../../ops/rope/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { checkAgrees, readCaseConfig } from "../case.ts";
import { type LayerFamily, matrixOf, type Observed, shareOf, swapAxes } from "./family.ts";

const heads = count(limits.heads).nullish();
const width = count(limits.width).optional();
const schema = z.object({
  hidden_size: width,
  head_dim: count(limits.width),
  head_k_dim: width,
  head_v_dim: width,
  num_heads: heads,
  num_v_heads: heads,
  expand_v: z.number().positive().optional(),
  conv_size: count(64).optional(),
  conv_bias: z.boolean().default(false),
  allow_neg_eigval: z.boolean().default(false),
  use_short_conv: z.literal(true).optional(),
  use_gate: z.literal(true).optional(),
  safe_gate: z.literal(false).optional(),
  norm_eps: z.number().positive().max(1).default(1e-5),
  // Fixed: x / sqrt(sum + 1e-6).
  l2norm_eps: z.literal(1e-6).optional(),
  scale: z.number().optional(),
});

const streams = ["q", "k", "v"] as const;
/** Inputs that a sequence begins with. */
const recurrent = /^(?:init(?:ial)?_)?(?:recurrent_)?state(?:_init(?:ial)?)?$|^h0$/;
const convolved = /^(?:init(?:ial)?_)?conv_state_([qkv])(?:_init(?:ial)?)?$/;
const tails = { q: "tailQ", k: "tailK", v: "tailV" } as const;

/** flash-linear-attention's Kimi Delta Attention (f_proj.0) and gated delta net (a_proj). */
export const deltaLayers: LayerFamily = {
  knows: (has) => has("A_log") && (has("f_proj.0.weight") || has("a_proj.weight")),
  read(raw, weights, said) {
    const config = readCaseConfig(raw, schema);
    const perChannel = weights.has("f_proj.0.weight");
    const h = weights.entry("A_log").shape.reduce((a, b) => a * b, 1);
    const n = config.head_dim;
    const [, d] = matrixOf(weights, "k_proj.weight");
    const g = shareOf(weights, "k_proj.weight", n);
    const v = shareOf(weights, "v_proj.weight", h);
    const w = weights.entry("k_conv1d.weight").shape.at(-1)!;
    const c = perChannel ? matrixOf(weights, "f_proj.0.weight")[0] : 0;
    checkAgrees("hidden_size", config.hidden_size, d);
    checkAgrees("num_heads", config.num_heads, g);
    checkAgrees("num_v_heads", config.num_v_heads, h);
    checkAgrees("head_k_dim", config.head_k_dim, n);
    checkAgrees("head_v_dim", config.head_v_dim, v);
    checkAgrees("expand_v", config.expand_v, v / n);
    checkAgrees("conv_size", config.conv_size, w);
    const bias = weights.has("k_conv1d.bias");
    if (config.conv_bias !== bias)
      throw new FormatError(
        `config.json: conv_bias: got ${config.conv_bias}, expected ${bias} by the weights there are`,
      );
    const sizes: Sizes = {
      d,
      h,
      g,
      n,
      r: 0,
      e: n,
      v,
      c,
      q: 0,
      o: 0,
      w,
      eps: config.norm_eps,
      with: { ...(bias && { convBias: true }), ...(config.allow_neg_eigval && { doubled: true }) },
    };
    const attention = {
      variant: perChannel ? kda : gdn,
      sizes,
      rotation: rotation(0),
      scale: config.scale,
    };
    // The layers of some versions keep a state as [v, k].
    const turned = /\[[^\]]*\bV, ?K\]/.test(String(said.meaning?.recurrent_state_final ?? ""));
    const flipped = (state: ArrayLike<number>, rows: number, columns: number) =>
      turned ? headwise(state, h, rows, columns) : state;
    return {
      attention,
      weights,
      sources: sourcesOf(sizes, weights, perChannel ? "channel" : "head"),
      async cached({ state }) {
        const memory: Observed = { values: flipped(await state.memory!.read(), n, v) };
        const found: Record<string, Observed> = { recurrent_state_final: memory, recurrent_state: memory };
        for (const stream of streams) {
          const tail = state[tails[stream]]!;
          const channels = tail.size / (w - 1);
          found[`conv_state_${stream}`] = {
            values: swapAxes(await tail.read(), [w - 1, channels]),
            of: (all) => newest(all, channels, w - 1),
          };
        }
        return found;
      },
      begins(input) {
        if (recurrent.test(input)) return ({ state }, given) => state.memory!.write(flipped(given, v, n));
        const stream = convolved.exec(input)?.[1] as (typeof streams)[number] | undefined;
        if (!stream) return undefined;
        return ({ state }, given) => {
          const tail = state[tails[stream]]!;
          const channels = tail.size / (w - 1);
          tail.write(swapAxes(newest(given, channels, w - 1), [channels, w - 1]));
        };
      },
    };
  },
};

function sourcesOf({ d, h, g, n, v, w = 0, c, with: on }: Sizes, weights: TensorReader, decayPer: "channel" | "head") {
  const taps = (stream: string, channels: number): Source => ({
    tensors: [`${stream}_conv1d.weight`],
    // One filter per channel, with or without the axis that Conv1d gives it.
    shape: weights.entry(`${stream}_conv1d.weight`).shape.length === 2 ? [channels, w] : [channels, 1, w],
    layout: "stored",
  });
  const flat = (name: string, size: number): Source => {
    const { shape } = weights.entry(name);
    return { tensors: [name], shape: shape.reduce((a, b) => a * b, 1) === size ? shape : [size], layout: "stored" };
  };
  return {
    wQ: linear("q_proj.weight", g * n, d),
    wK: linear("k_proj.weight", g * n, d),
    wV: linear("v_proj.weight", h * v, d),
    fQ: taps("q", g * n),
    fK: taps("k", g * n),
    fV: taps("v", h * v),
    ...(on?.convBias && {
      aFQ: vector("q_conv1d.bias", g * n),
      aFK: vector("k_conv1d.bias", g * n),
      aFV: vector("v_conv1d.bias", h * v),
    }),
    wB: linear("b_proj.weight", h, d),
    aLog: flat("A_log", h),
    gO: vector("o_norm.weight", v),
    wO: linear("o_proj.weight", d, h * v),
    ...(decayPer === "channel"
      ? {
          wDF: linear("f_proj.0.weight", c, d),
          wUF: linear("f_proj.1.weight", h * n, c),
          bT: flat("dt_bias", h * n),
          wDG: linear("g_proj.0.weight", c, d),
          wUG: linear("g_proj.1.weight", h * v, c),
          bG: vector("g_proj.1.bias", h * v),
        }
      : { wA: linear("a_proj.weight", h, d), bT: flat("dt_bias", h), wG: linear("g_proj.weight", h * v, d) }),
  };
}

/** The newest `kept` of each channel's inputs `[channels, W]`, oldest first. */
function newest(all: readonly number[], channels: number, kept: number): number[] {
  const each = all.length / channels;
  return all.filter((_, i) => i % each >= each - kept);
}

/** `[heads, rows, columns]` as `[heads, columns, rows]`. */
function headwise(values: ArrayLike<number>, count: number, rows: number, columns: number): Float64Array {
  const each = rows * columns;
  const out = new Float64Array(values.length);
  for (let i = 0; i < count; i++)
    out.set(swapAxes(Array.prototype.slice.call(values, i * each, (i + 1) * each), [rows, columns]), i * each);
  return out;
}
