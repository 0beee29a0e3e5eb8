import { type Config, refuse } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { mark } from "./ledger.ts";
import { namesOf } from "./settings.ts";

// Configs whose keys lie elsewhere, or say in other words what the readers ask for. Values are checked afterwards.

const isObject = (value: unknown): value is Config =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** What stands within a key, all of it marked as read: whoever asks for a part knows it. */
const part = (config: Config, key: string): Config => {
  const found = config[key];
  if (!isObject(found)) return {};
  mark(config, [key, ...Object.keys(found).map((name) => `${key}.${name}`)]);
  return found;
};
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
  if (namesOf("intermediate_size").some((name) => typeof config[name] === "number")) return config;
  return { ...config, intermediate_size: times(4, numberOf(config, ...namesOf("hidden_size"))) };
}

/** Every projection has a bias, whatever `attention_bias` says (transformers 5.24.0, modeling_phi.py). */
export const phi = (config: Config): Config => expanded({ ...config, attention_bias: true, mlp_bias: true });

export function falcon(config: Config): Config {
  const heads = from(config, "num_attention_heads") ?? from(config, "n_head");
  const groups = config.new_decoder_architecture
    ? from(config, "num_kv_heads")
    : config.multi_query === false
      ? heads
      : 1;
  return expanded({ ...config, num_key_value_heads: groups, mlp_bias: config.bias });
}

/** Norms in a block of Falcon: halves that run beside each other share one, in newer models they have two. */
export const falconNorms = (config: Config): number => {
  if (config.new_decoder_architecture) return config.num_ln_in_parallel_attn === 1 ? 1 : 2;
  return config.parallel_attn === false ? 2 : 1;
};

/** One norm where both halves of a block run beside each other. */
export const parallelNorms = (config: Config): number => (config.use_parallel_residual ? 1 : 2);

export function opt(config: Config): Config {
  const { word_embed_proj_dim: inner, hidden_size: d } = config;
  if (typeof inner === "number" && inner !== d)
    throw new FormatError(
      `word_embed_proj_dim: got ${inner}, expected hidden_size ${String(d).slice(0, 20)}; embeddings of another width are not planned for`,
    );
  return config;
}

export function mpt(config: Config): Config {
  const d = numberOf(config, "d_model", "hidden_size");
  return {
    ...config,
    intermediate_size: times(d, typeof config.expansion_ratio === "number" ? numberOf(config, "expansion_ratio") : 4),
    num_key_value_heads: from(part(config, "attn_config"), "kv_n_heads"),
    mlp_bias: config.no_bias === false,
    attention_bias: config.no_bias === false,
  };
}

export function dbrx(config: Config): Config {
  const [attention, feed] = [part(config, "attn_config"), part(config, "ffn_config")];
  return {
    ...config,
    num_key_value_heads: from(attention, "kv_n_heads"),
    intermediate_size: from(feed, "ffn_hidden_size"),
    num_experts: from(feed, "moe_num_experts"),
    num_experts_per_tok: from(feed, "moe_top_k"),
  };
}

export function chatglm(config: Config): Config {
  return {
    ...config,
    vocab_size: config.vocab_size ?? from(config, "padded_vocab_size"),
    num_key_value_heads: config.multi_query_attention
      ? from(config, "multi_query_group_num")
      : from(config, "num_attention_heads"),
  };
}

/** `intermediate_size` is that of experts; every fourth layer sees everything, the others a chunk. */
export function llama4(config: Config): Config {
  const f = from(config, "intermediate_size");
  const list = Array.isArray(config.no_rope_layers) ? (config.no_rope_layers as unknown[]) : [];
  const layers = numberOf(config, "num_hidden_layers");
  const every = numberOf(config, "no_rope_layer_interval") || 4;
  const chunked = (i: number) => (list.length ? Boolean(list[i]) : (i + 1) % every !== 0);
  return {
    ...config,
    ...(Array.isArray(config.layer_types) || !(layers > 0 && layers < 10_000)
      ? {}
      : {
          layer_types: Array.from({ length: layers }, (_, i) => (chunked(i) ? "chunked_attention" : "full_attention")),
        }),
    attention_chunk_size: config.attention_chunk_size ?? 8192,
    intermediate_size: from(config, "intermediate_size_mlp") ?? f,
    moe_intermediate_size: f,
    shared_expert_intermediate_size: f,
  };
}

/** A block is two layers of attention. */
export function longcat(config: Config): Config {
  return { ...config, num_hidden_layers: times(2, numberOf(config, "num_layers", "num_hidden_layers")) };
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
