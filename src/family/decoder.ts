import { z } from "zod";
import type { FeedForward, Model } from "../model/model.ts";
import { type Config, count, limits } from "./config.ts";
import { linear, type Scales, type Source, type Sources, vector } from "./source.ts";

/** What the config of every decoder says. */
export const decoderKeys = {
  vocab_size: count(limits.vocabulary),
  hidden_size: count(limits.width),
  intermediate_size: count(limits.width * 8),
  num_hidden_layers: count(limits.layers),
  num_attention_heads: count(limits.heads),
  num_key_value_heads: count(limits.heads).nullish(),
  head_dim: count(limits.width).nullish(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().min(0).max(1).default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
};
const decoderSchema = z.object(decoderKeys);
export type DecoderConfig = z.infer<typeof decoderSchema>;

/** How FP8 checkpoints with a scale per block say so (DeepSeek-V3, arXiv 2412.19437, section 3.3). */
export const fp8Schema = z.strictObject({
  quant_method: z.literal("fp8"),
  fmt: z.literal("e4m3").optional(),
  weight_block_size: z.tuple([count(limits.width), count(limits.width)]),
  // How activations are rounded where arithmetic is in 8 bits, and how the scales were chosen: neither changes the weights.
  activation_scheme: z.literal("dynamic").optional(),
  scale_fmt: z.string().optional(),
  modules_to_not_convert: z.array(z.string()).nullish(),
});

/** The same sources with each matrix's scales named, where the config says that there are any. */
export function withScales(sources: Sources, config: Config): Sources {
  if (!config.quantization_config) return sources;
  const scales: Scales = {
    suffix: "_scale_inv",
    block: fp8Schema.parse(config.quantization_config).weight_block_size,
  };
  return new Map([...sources].map(([name, s]) => [name, s.layout === "transposed" ? { ...s, scales } : s]));
}

/** Sources under the hub's names for what all decoders share; `attention` gives those of one layer's attention. */
export function decoderSources(
  model: Model,
  attention: (layer: number, prefix: string) => Readonly<Record<string, Source>>,
): Sources {
  const { width: d, vocabulary } = model;
  const all = new Map<string, Source>();
  all.set("embed", { tensors: ["model.embed_tokens.weight"], shape: [vocabulary, d], layout: "stored" });
  model.layers.forEach(({ feed }, i) => {
    const [ours, theirs] = [`layers.${i}.`, `model.layers.${i}.`];
    all.set(`${ours}normAttention`, vector(`${theirs}input_layernorm.weight`, d));
    for (const [name, source] of Object.entries(attention(i, `${theirs}self_attn.`)))
      all.set(`${ours}attention.${name}`, source);
    all.set(`${ours}normFeed`, vector(`${theirs}post_attention_layernorm.weight`, d));
    for (const [name, source] of feedSources(feed, d, `${theirs}mlp.`)) all.set(`${ours}feed.${name}`, source);
  });
  all.set("norm", vector("model.norm.weight", d));
  if (!model.tied) all.set("head", linear("lm_head.weight", vocabulary, d));
  return all;
}

const projections = [
  ["Gate", "gate_proj"],
  ["Up", "up_proj"],
  ["Down", "down_proj"],
] as const;

function* feedSources(feed: FeedForward, d: number, prefix: string): Generator<[string, Source]> {
  const shapeOf = (ours: string, f: number) => (ours === "Down" ? ([d, f] as const) : ([f, d] as const));
  const bias = feed.kind === "dense" && feed.bias;
  if (feed.kind === "experts") {
    yield ["wRoute", linear(`${prefix}gate.weight`, feed.x, d)];
    if (feed.routing.scores === "sigmoid") yield ["bRoute", vector(`${prefix}gate.e_score_correction_bias`, feed.x)];
    for (const [ours, theirs] of projections) {
      const tensors = Array.from({ length: feed.x }, (_, i) => `${prefix}experts.${i}.${theirs}.weight`);
      yield [`w${ours}`, { tensors, shape: shapeOf(ours, feed.f), layout: "transposed" }];
    }
    if (!feed.shared) return;
  }
  const [under, f, where] =
    feed.kind === "dense"
      ? (["", feed.f, prefix] as const)
      : (["shared.", feed.shared, `${prefix}shared_experts.`] as const);
  for (const [ours, theirs] of projections) {
    const [out, inputs] = shapeOf(ours, f);
    yield [`${under}w${ours}`, linear(`${where}${theirs}.weight`, out, inputs)];
    if (bias) yield [`${under}b${ours}`, vector(`${where}${theirs}.bias`, out)];
  }
}

/**
 * Old checkpoints carry the rotary frequencies as a buffer, tied ones sometimes the head a second time, and some after their last
 * layer those that predict further tokens.
 */
export function ignoresTensor(tensor: string, model: Model, config: Config): boolean {
  const layer = Number(/^model\.layers\.(\d+)\./.exec(tensor)?.[1] ?? 0) - model.layers.length;
  const further = Number(config.num_nextn_predict_layers ?? 0);
  return (
    /\.rotary_emb\.inv_freq$/.test(tensor) ||
    (model.tied && tensor === "lm_head.weight") ||
    (layer >= 0 && layer < further)
  );
}
