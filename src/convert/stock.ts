import type { Opened } from "../checkpoint/open.ts";
import { ownConfig } from "../family/biform.ts";
import type { Config } from "../family/config.ts";
import type { Model } from "../model/model.ts";

/** The architectures of other engines that models trained here may be, in the order in which they are tried; at last Biform's own. */
export const exported = ["llama", "qwen3", "deepseek_v3", "deepseek_v32", "kimi_linear", "biform"] as const;
export type Exported = (typeof exported)[number];

/** The classes that engines run each with. */
const classes = {
  llama: "LlamaForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  deepseek_v3: "DeepseekV3ForCausalLM",
  deepseek_v32: "DeepseekV32ForCausalLM",
  kimi_linear: "KimiLinearForCausalLM",
} as const;

/** Architectures of which vLLM ties no head: one that is not in the folder stays there as memory was. */
const untied = ["deepseek_v3", "deepseek_v32", "kimi_linear"];

/** Whether a head that is the embedding may be left out of what is written as an architecture. */
export const tiesHead = (architecture: string, gguf: boolean) => gguf || !untied.includes(architecture);

/** A config of an architecture that is nearest to a model: its first layer's sizes under the architecture's keys. */
export function configFor(architecture: Exported, { model, config }: Pick<Opened, "model" | "config">): Config {
  if (architecture === "biform")
    return JSON.parse(
      JSON.stringify(ownConfig(model, { max_position_embeddings: config.max_position_embeddings, ids: config.ids })),
    );
  const { sizes, rotation } = model.layers[0]!.attention;
  const { frequencies } = rotation;
  const pairs = frequencies.length;
  const { h, bias } = sizes;
  const all = {
    architectures: [classes[architecture]],
    model_type: architecture,
    vocab_size: model.vocabulary,
    hidden_size: model.width,
    intermediate_size: model.layers[0]!.feed.f,
    num_hidden_layers: model.layers.length,
    num_attention_heads: h,
    rms_norm_eps: model.eps,
    tie_word_embeddings: model.tied,
    max_position_embeddings: config.max_position_embeddings ?? 4096,
    // The base of which the second frequency is a power.
    rope_theta: Number(config.rope_theta ?? (pairs > 1 ? Math.round(frequencies[1]! ** -pairs) : 10000)),
    rope_scaling: null,
    hidden_act: "silu",
    // Else each architecture has ids of its own that begin and end texts, which training here did not see.
    bos_token_id: null,
    eos_token_id: null,
    pad_token_id: null,
  };
  if (architecture === "kimi_linear") return { ...all, ...hybridKeys(model) };
  const biased = { ...all, attention_bias: bias === "all" };
  if (architecture === "llama" || architecture === "qwen3") return { ...biased, ...groupedKeys(architecture, model) };
  const { i, j, m } = sizes;
  return {
    ...biased,
    ...latentKeys(model),
    rope_interleave: true,
    first_k_dense_replace: model.layers.length,
    ...(architecture === "deepseek_v32" && { index_head_dim: i || 1, index_n_heads: j || 1, index_topk: m || 1 }),
  };
}

/** What engines do not run of an architecture, although its config has words for it; undefined where they do. */
export function lacking(architecture: Exported, { layers }: Model): string | undefined {
  const at = layers.findIndex(({ attention: { sizes } }) => sizes.q);
  if (architecture === "deepseek_v32" && at !== 0)
    return "layers.0.sizes.q got 0, which would be a rank, since indexers of engines read the queries' latent";
  if (architecture === "kimi_linear" && at >= 0)
    return `layers.${at}.sizes.q got ${layers[at]!.attention.sizes.q}, which would be 0, since engines run it without`;
  return undefined;
}

function groupedKeys(architecture: "llama" | "qwen3", { layers }: Model): Config {
  const { attention, feed } = layers[0]!;
  const { g, h, e } = attention.sizes;
  return {
    num_key_value_heads: g || h,
    // Rotary dims come in pairs; where a head has an odd width, that is what differs.
    head_dim: e % 2 ? e + 1 : e,
    ...(architecture === "llama" && { mlp_bias: feed.kind === "dense" && feed.bias === true }),
  };
}

/** The sizes of the first layer with a latent; where there is none, ones that no layer has. */
function latentKeys({ layers }: Model): Config {
  const latent = layers.find(({ attention }) => attention.variant.name !== "KDA") ?? layers[0]!;
  const { h, n, r, v, c, q } = latent.attention.sizes;
  return {
    num_key_value_heads: h,
    q_lora_rank: q || null,
    kv_lora_rank: c || 1,
    qk_nope_head_dim: n || 1,
    qk_rope_head_dim: r,
    v_head_dim: v,
  };
}

/** Which layers are KDA, which MLA, and how wide both are. */
function hybridKeys(model: Model): Config {
  const { layers } = model;
  const numbered = (linear: boolean) =>
    layers.flatMap(({ attention }, i) => ((attention.variant.name === "KDA") === linear ? [i + 1] : []));
  const { sizes } = (layers.find(({ attention }) => attention.variant.name === "KDA") ?? layers[0]!).attention;
  return {
    ...latentKeys(model),
    mla_use_nope: true,
    first_k_dense_replace: layers.length,
    linear_attn_config: {
      kda_layers: numbered(true),
      full_attn_layers: numbered(false),
      num_heads: sizes.h,
      head_dim: sizes.n || 1,
      short_conv_kernel_size: sizes.w ?? 4,
    },
  };
}
