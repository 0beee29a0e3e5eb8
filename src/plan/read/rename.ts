import { z } from "zod";
import { type Config, count, limits, mustBe, refuse } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { mark } from "./ledger.ts";
import { namesOf, readKeys } from "./settings.ts";

// Configs whose keys lie elsewhere, or say in other words what the readers ask for. Values are checked afterwards.

/** What stands under a key that goes on under another name: a number that is not finite is refused while its own is known. */
const from = (config: Config, key: string): unknown => {
  const value = config[key];
  mark(config, [key]);
  if (typeof value === "number" && !Number.isFinite(value)) throw refuse(key, value, "expected a finite number");
  return value;
};
const numberOf = (config: Config, ...keys: readonly string[]): number => {
  const key = keys.find((name) => typeof config[name] === "number");
  return key === undefined ? Number.NaN : (from(config, key) as number);
};
const times = (a: number, b: number) => (Number.isFinite(a * b) ? a * b : undefined);

/** An MLP four times as wide as the hidden state where a config says nothing. */
export function expanded(config: Config): Config {
  if (namesOf("intermediate_size").some((name) => (config[name] ?? null) !== null)) return config;
  return { ...config, intermediate_size: times(4, numberOf(config, ...namesOf("hidden_size"))) };
}

/** Every projection has a bias, whatever `attention_bias` says (transformers 5.24.0, modeling_phi.py). */
export const phi = (config: Config): Config => expanded({ ...config, attention_bias: true, mlp_bias: true });

const falconSchema = z.object({
  new_decoder_architecture: z.boolean().nullish(),
  multi_query: z.boolean().nullish(),
  num_kv_heads: count(limits.heads).nullish(),
});

export function falcon(config: Config): Config {
  const heads = from(config, "num_attention_heads") ?? from(config, "n_head");
  // The first models have num_kv_heads and do not follow it.
  const keys = readKeys(config, falconSchema);
  const groups = keys.new_decoder_architecture ? keys.num_kv_heads : keys.multi_query === false ? heads : 1;
  return expanded({ ...config, num_key_value_heads: groups, mlp_bias: config.bias });
}

/** Norms in a block of Falcon: halves that run beside each other share one, in newer models they have two. */
export const falconNorms = (config: Config): number => {
  if (config.new_decoder_architecture) return config.num_ln_in_parallel_attn === 1 ? 1 : 2;
  return config.parallel_attn === false ? 2 : 1;
};

/** One norm where both halves of a block run beside each other. */
export const parallelNorms = (config: Config): number => (config.use_parallel_residual ? 1 : 2);

const optSchema = z.object({ word_embed_proj_dim: count(limits.width).nullish() });

export function opt(config: Config): Config {
  const { word_embed_proj_dim: inner } = readKeys(config, optSchema);
  const d = config.hidden_size;
  if (inner && inner !== d)
    throw new FormatError(
      `word_embed_proj_dim: got ${inner}, expected hidden_size ${String(d).slice(0, 20)}; embeddings of another width are not planned for`,
    );
  return config;
}

const mptSchema = z.object({
  attn_config: z
    .object({
      attn_type: z.enum(["multihead_attention", "multiquery_attention", "grouped_query_attention"]).nullish(),
      kv_n_heads: count(limits.heads).nullish(),
    })
    .nullish(),
  expansion_ratio: z.number().positive().max(1024).nullish(),
  no_bias: z.boolean().nullish(),
});

export function mpt(config: Config): Config {
  const { attn_config: attention, expansion_ratio: ratio, no_bias: bare } = readKeys(config, mptSchema);
  return {
    ...config,
    intermediate_size: times(numberOf(config, "d_model", "hidden_size"), ratio ?? 4),
    num_key_value_heads: attention?.attn_type === "multiquery_attention" ? 1 : attention?.kv_n_heads,
    mlp_bias: bare === false,
    attention_bias: bare === false,
  };
}

const dbrxSchema = z.object({
  attn_config: z.object({ kv_n_heads: count(limits.heads) }),
  ffn_config: z.object({
    ffn_hidden_size: count(limits.width * 8),
    moe_num_experts: count(limits.experts),
    moe_top_k: count(limits.experts),
  }),
});

export function dbrx(config: Config): Config {
  const { attn_config: attention, ffn_config: feed } = readKeys(config, dbrxSchema);
  return {
    ...config,
    num_key_value_heads: attention.kv_n_heads,
    intermediate_size: feed.ffn_hidden_size,
    num_experts: feed.moe_num_experts,
    num_experts_per_tok: feed.moe_top_k,
  };
}

const chatglmSchema = z.object({
  padded_vocab_size: count(limits.vocabulary).nullish(),
  multi_query_attention: z.boolean().nullish(),
  multi_query_group_num: count(limits.heads).nullish(),
});

export function chatglm(config: Config): Config {
  const keys = readKeys(config, chatglmSchema);
  return {
    ...config,
    vocab_size: config.vocab_size ?? keys.padded_vocab_size,
    num_key_value_heads: keys.multi_query_attention ? keys.multi_query_group_num : from(config, "num_attention_heads"),
  };
}

const llama4Schema = z.object({
  intermediate_size_mlp: count(limits.width * 8).nullish(),
  no_rope_layer_interval: count(limits.layers).nullish(),
});

/** `intermediate_size` is that of experts; every fourth layer sees everything, the others a chunk. */
export function llama4(config: Config): Config {
  const f = from(config, "intermediate_size");
  const keys = readKeys(config, llama4Schema);
  const list = Array.isArray(config.no_rope_layers) ? (config.no_rope_layers as unknown[]) : [];
  const layers = numberOf(config, "num_hidden_layers");
  const every = keys.no_rope_layer_interval ?? 4;
  const chunked = (i: number) => (list.length ? Boolean(list[i]) : (i + 1) % every !== 0);
  return {
    ...config,
    ...(Array.isArray(config.layer_types) || !(layers > 0 && layers < 10_000)
      ? {}
      : {
          layer_types: Array.from({ length: layers }, (_, i) => (chunked(i) ? "chunked_attention" : "full_attention")),
        }),
    attention_chunk_size: config.attention_chunk_size ?? 8192,
    intermediate_size: keys.intermediate_size_mlp ?? f,
    moe_intermediate_size: f,
    shared_expert_intermediate_size: f,
  };
}

const longcatSchema = z.object({
  num_layers: count(limits.layers / 2).nullish(),
  num_hidden_layers: count(limits.layers / 2).nullish(),
});

/** A block is two layers of attention. */
export function longcat(config: Config): Config {
  const { num_layers: blocks, num_hidden_layers: others } = readKeys(config, longcatSchema);
  return { ...config, num_hidden_layers: times(2, blocks ?? others ?? Number.NaN) };
}

const tablesSchema = z.object({
  oe_vocab_size_ratio: z
    .number()
    .min(0)
    .max(2 ** 20)
    .nullish(),
  oe_neighbor_num: z.number().int().min(2).max(64).nullish(),
  oe_split_num: count(limits.heads).nullish(),
  oe_embed_dim: count(limits.width).nullish(),
});

/** The same with its tables of n-grams under other words (LongCat-Flash-Lite-Sparse). */
export function longcatSparse(config: Config): Config {
  const keys = readKeys(config, tablesSchema);
  const { oe_vocab_size_ratio: ratio, oe_neighbor_num: longest, oe_split_num: split } = keys;
  const tables = ((longest ?? 4) - 1) * (split ?? 4);
  mustBe(
    "oe_embed_dim",
    keys.oe_embed_dim,
    Math.floor(numberOf(config, "hidden_size") / tables),
    "a share of hidden_size",
  );
  return {
    ...longcat(config),
    ngram_vocab_size_ratio: ratio ?? 0,
    ...(longest && { emb_neighbor_num: longest }),
    ...(split && { emb_split_num: split }),
  };
}

/** Layers with experts stand in a text: "4,5,6". */
export function step3(config: Config): Config {
  const text = config.moe_layers_enum;
  if (typeof text !== "string" || !/^[\d,\s]{1,4096}$/.test(text)) return config;
  return {
    ...config,
    moe_layers: text
      .split(",")
      .filter((n) => n.trim())
      .map(Number),
  };
}

/** Dense layers have a width of their own, and `intermediate_size` is that of experts. */
export function minimaxThird(config: Config): Config {
  const f = from(config, "intermediate_size");
  return {
    ...config,
    moe_intermediate_size: config.moe_intermediate_size ?? f,
    intermediate_size: from(config, "dense_intermediate_size") ?? f,
  };
}

/** Every fourth layer from the second on has an indexer of its own, and the first is dense, where no list says it. */
export function hunyuanFourth(config: Config): Config {
  const layers = numberOf(config, "num_hidden_layers");
  if (!(layers > 0 && layers < 10_000)) return config;
  const list = (of: (i: number) => string) => Array.from({ length: layers }, (_, i) => of(i));
  return {
    ...config,
    indexer_types: from(config, "indexer_types") ?? list((i) => (i === 0 || (i - 1) % 4 === 0 ? "full" : "shared")),
    mlp_layer_types: config.mlp_layer_types ?? list((i) => (i ? "sparse" : "dense")),
  };
}

/** Transformers writes the rotary dims of heads, none, as their width. */
export function glmFlash(config: Config): Config {
  return { ...config, head_dim: config.head_dim === 0 ? null : config.head_dim };
}

/** Layers with experts by a period and an offset. */
export function jamba(config: Config): Config {
  const [layers, period] = [numberOf(config, "num_hidden_layers"), numberOf(config, "expert_layer_period") || 2];
  const offset = typeof config.expert_layer_offset === "number" ? numberOf(config, "expert_layer_offset") : 1;
  if (!(layers > 0 && layers < 10_000)) return config;
  const types = Array.from({ length: layers }, (_, i) => (i % period === offset ? "sparse" : "dense"));
  return { ...config, mlp_layer_types: types };
}

const convolutionSchema = z.object({
  block_auto_adjust_ff_dim: z.boolean().nullish(),
  block_ffn_dim_multiplier: z.number().positive().max(1024).nullish(),
  block_multiple_of: count(limits.width).nullish(),
});

/** The MLP's width is two thirds of what is said, rounded up, unless the config says that it is not. */
export function convolution(config: Config): Config {
  const f = numberOf(config, "intermediate_size", "block_ff_dim");
  const keys = readKeys(config, convolutionSchema);
  const [factor, multiple] = [keys.block_ffn_dim_multiplier ?? 1, keys.block_multiple_of ?? 256];
  const adjusts = keys.block_auto_adjust_ff_dim !== false && config.model_type === "lfm2";
  const width = adjusts ? multiple * Math.ceil(Math.floor(factor * Math.floor((2 * f) / 3)) / multiple) : f;
  return {
    ...config,
    intermediate_size: Number.isFinite(width) ? width : undefined,
    first_k_dense_replace: from(config, "num_dense_layers") ?? config.first_k_dense_replace,
    tie_word_embeddings: config.tie_embedding ?? config.tie_word_embeddings,
  };
}

/** Heads of Mamba-2 where a config leaves them to the class; experts of Granite 4 may be none. */
export function graniteHybrid(config: Config): Config {
  return { ...config, mamba_n_heads: config.mamba_n_heads ?? 128 };
}

/** Heads of gated delta net as many as attention's, keys of three quarters of the width and values twice as wide, unless said. */
export function olmoHybrid(config: Config): Config {
  const [d, h] = [numberOf(config, "hidden_size"), numberOf(config, "num_attention_heads")];
  const keys = config.linear_num_key_heads ?? h;
  const n = config.linear_key_head_dim ?? Math.floor((0.75 * d) / Number(keys));
  return {
    ...config,
    linear_num_key_heads: keys,
    linear_num_value_heads: config.linear_num_value_heads ?? h,
    linear_key_head_dim: n,
    linear_value_head_dim: config.linear_value_head_dim ?? 2 * Number(n),
  };
}
