import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import type { Feed } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { mixing } from "./compressed.ts";
import { feedAt, isSparse } from "./feed.ts";
import type { Attending, Traits } from "./grouped.ts";
import { latentAt } from "./latent.ts";
import { at, need, readKeys, type Settings, sizeAt } from "./settings.ts";

// Motif 3 (arXiv 2608.09119): a latent that unfolds to one key and value for each group of heads. A group has several heads that read
// and one that reads noise, which is taken off the others' outputs, each by a factor of its own.

/** h heads that read and g that read noise, one in each group; a gate on what leaves each of the former, made of the query's bottleneck. */
const grouped = (z: Sizes) => z.h + z.g;
const outer = (z: Sizes) =>
  2 * (z.d * z.q + z.q * grouped(z) * z.e + z.d * (z.c + z.r) + z.q * z.h * z.v + z.d * z.h + z.h * z.v * z.d);

/** Grouped differential latent attention. */
export const differential: Costed = {
  name: "GDLA",
  source: "Motif 3 (arXiv 2608.09119); ggml-org/llama.cpp#26298",
  rules: (z) => [
    [z.c > 0, "c", "the latent rank is at least 1"],
    [z.q > 0, "q", "queries have a bottleneck, which makes the gate too"],
    [z.g > 0 && z.h % z.g === 0, "g", "each group has as many heads beside the one of noise"],
  ],
  params: (z) => ({
    wDQ: "d q",
    gQ: "q",
    wQ: "q h e",
    wQN: "q g e",
    wG: "q h v",
    wDKV: "d c",
    gKV: "c",
    wKR: z.r ? "d r" : undefined,
    wUK: "c g n",
    wUV: "c g v",
    wL: "d h",
    wO: "h v d",
  }),
  cache: (z) => ({ c: "c", kr: z.r ? "r" : undefined }),
  unfolded: (z) => ({ kn: "g n", v: "g v", kr: z.r ? "r" : undefined }),
  forms: {
    expanded: {
      about: "grouped: unfolds the latent into a key and a value for each group",
      over: "unfolded",
      cost: (z) => ({ token: outer(z), cached: 2 * z.c * z.g * (z.n + z.v), pair: 2 * grouped(z) * (z.e + z.v) }),
    },
    absorbed: {
      about: "multi-query: folds the up-projections into queries and outputs",
      cost: (z) => ({
        token: outer(z) + 2 * z.c * grouped(z) * (z.n + z.v),
        cached: 0,
        pair: 2 * grouped(z) * (2 * z.c + z.r),
      }),
    },
  },
};

const schema = z.object({
  attention_cls: z.literal("gdla").nullish(),
  diff_v2: z.literal(true).nullish(),
  elementwise_attn_output_gate: z.literal(true).nullish(),
  headwise_attn_output_gate: z.literal(false).nullish(),
  num_noise_heads: count(limits.heads).nullish(),
  k_ratio: z.literal(1).nullish(),
  mhc_enabled: z.boolean().nullish(),
  mhc_expansion_rate: count(64).nullish(),
});

/** A layer of Motif 3: all cache the latent, and most see a window. */
export function motifAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { num_noise_heads: noise, mhc_enabled: mixed, mhc_expansion_rate: streams } = readKeys(config, schema);
  const h = sizeAt(s, "num_attention_heads", i);
  const g = at<number>(s.num_key_value_heads ?? h, i, "num_key_value_heads");
  if ((noise ?? g) !== g || h % g || h === g)
    throw new FormatError(
      `num_key_value_heads: got ${g} of ${h} heads, ${noise ?? g} of noise, expected a divisor of the heads and as many of noise; correct the config`,
    );
  const { attention } = latentAt(s, i, traits);
  const [d, m] = [s.hidden_size, streams ?? 4];
  // Streams are mixed before and after each half, and normed for that.
  const extra = mixed === false ? 0 : 2 * (mixing(d, m) + m * d);
  need(s, "q_lora_rank");
  return { attention: { ...attention, variant: differential, sizes: { ...attention.sizes, h: h - g, g } }, extra };
}

/** Its feed-forward half: the activation of an MLP is a polynomial of three factors and a bias, one for each expert. */
export function motifFeed(s: Settings, i: number, traits: Traits): Feed {
  const feed = feedAt(s, i, traits);
  return isSparse(s, i)
    ? { ...feed, always: feed.always + (s.n_shared_experts ? 4 : 0), expert: feed.expert + 4 }
    : { ...feed, always: feed.always + 4 };
}

const keysSchema = z.object({
  head_dim: count(limits.width).nullish(),
  qk_rope_head_dim: count(limits.width).nullish(),
  sliding_window: count(2 ** 40).nullish(),
  use_sliding_window: z.boolean().nullish(),
  sliding_window_pattern: z.enum(["interleave", "all"]).nullish(),
  sliding_window_period: count(limits.layers).nullish(),
  experts_top_k: count(limits.experts).nullish(),
  n_dense_first_layers: z.number().int().min(0).max(limits.layers).nullish(),
  num_hidden_layers: count(limits.layers),
});

/** Motif's words for what others call otherwise; the first of each period of layers sees everything. */
export function motif(config: Config): Config {
  const keys = readKeys(config, keysSchema);
  const { head_dim: e, qk_rope_head_dim: r, sliding_window_period: period } = keys;
  const near = (i: number) => keys.sliding_window_pattern === "all" || i % (period ?? 2) > 0;
  const windowed = keys.use_sliding_window === true && keys.sliding_window;
  return {
    ...config,
    ...(windowed && {
      layer_types:
        config.layer_types ??
        Array.from({ length: keys.num_hidden_layers }, (_, i) => (near(i) ? "sliding_attention" : "full_attention")),
    }),
    sliding_window: windowed || null,
    sliding_window_pattern: null,
    qk_nope_head_dim: config.qk_nope_head_dim ?? (e && r ? e - r : undefined),
    num_experts_per_tok: keys.experts_top_k ?? config.num_experts_per_tok,
    first_k_dense_replace: keys.n_dense_first_layers ?? config.first_k_dense_replace,
    router_correction: (config.load_balance_coeff ?? null) !== null,
  };
}
