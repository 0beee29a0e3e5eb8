import type { Config } from "../../family/config.ts";
import { modelTypeOf } from "../../family/deepseek.ts";
import { expertSettings } from "../../family/experts.ts";
import { decoderSettings, hubKeys, shorten } from "../../family/gguf.ts";
import { groupedSettings } from "../../family/grouped.ts";
import { latentSettings, latentWidths } from "../../family/latent.ts";
import { groupOf, third } from "../../family/ling.ts";
import type { Outline } from "../../file/outline.ts";
import { FormatError } from "../../tensor/error.ts";

/** A GGUF header, the name of its architecture, and whether all of the model's tensors are in it. */
export interface Header {
  readonly arch: string;
  readonly outline: Outline;
  readonly whole: boolean;
}

/** What the hub calls architectures that llama.cpp calls otherwise (llama-arch.cpp). */
const modelTypes: Readonly<Record<string, string>> = {
  baichuan: "baichuan",
  bailingmoe: "bailing_moe",
  bailingmoe2: "bailing_moe_v2",
  bailingmoe3: "bailing_hybrid",
  "command-r": "cohere",
  "ernie4_5-moe": "ernie4_5_moe",
  gemma3: "gemma3_text",
  gemma3n: "gemma3n_text",
  gemma4: "gemma4_text",
  "glm-dsa": "glm_moe_dsa",
  glm4moe: "glm4_moe",
  "gpt-oss": "gpt_oss",
  gptneox: "gpt_neox",
  "hunyuan-dense": "hunyuan_v1_dense",
  "hunyuan-moe": "hunyuan_v1_moe",
  "kimi-linear": "kimi_linear",
  llama4: "llama4_text",
  mimo2: "mimo_v2_flash",
  "minimax-m2": "minimax_m2",
  phi2: "phi",
  qwen2moe: "qwen2_moe",
  qwen2vl: "qwen2_vl",
  qwen3moe: "qwen3_moe",
  qwen3next: "qwen3_next",
  qwen35: "qwen3_5_text",
  qwen35moe: "qwen3_5_moe_text",
  qwen3vl: "qwen3_vl_text",
  qwen3vlmoe: "qwen3_vl_moe_text",
};

/** The hub's keys for a header's: those that the families' files say, and those of what Biform plans and does not run. */
const keys: Readonly<Record<string, string>> = {
  ...hubKeys({ ...decoderSettings, ...groupedSettings, ...latentSettings, ...expertSettings }),
  "attention.sliding_window": "sliding_window",
  "attention.indexer.head_count": "index_n_heads",
  "attention.indexer.key_length": "index_head_dim",
  "attention.indexer.top_k": "index_topk",
  "attention.shared_kv_layers": "num_kv_shared_layers",
  expert_shared_feed_forward_length: "shared_expert_intermediate_size",
  interleave_moe_layer_step: "decoder_sparse_step",
  embedding_length_per_layer_input: "hidden_size_per_layer_input",
  "altup.num_inputs": "altup_num_inputs",
  full_attention_interval: "full_attention_interval",
  "ssm.conv_kernel": "linear_conv_kernel_dim",
  "ssm.state_size": "linear_key_head_dim",
  "ssm.group_count": "linear_num_key_heads",
  "ssm.time_step_rank": "linear_num_value_heads",
};

/** Layers and axes that a list in a header may speak of. */
const LONGEST = 4096;

/** A header's value: a number, a flag, a text, or a short list of numbers. Lists of what is no number are left out. */
function read({ arch, outline }: Header, key: string): unknown {
  const found = outline.metadata.get(`${arch}.${key}`);
  if (!found?.type.endsWith("]")) return found?.value;
  const list = found.value as ArrayLike<unknown>;
  if (list.length > LONGEST)
    throw new FormatError(`${arch}.${key}: got ${list.length} entries, expected one for each layer; use another file`);
  return Array.from(list);
}

/** The config that a header stands for, under the hub's keys; values are checked where they are read. */
export function hubConfig(header: Header): Config {
  const { arch, outline, whole } = header;
  const get = (key: string) => read(header, key);
  const has = (tensor: string) => outline.tensors.has(tensor);
  const config: Record<string, unknown> = { model_type: Object.hasOwn(modelTypes, arch) ? modelTypes[arch] : arch };
  for (const [theirs, ours] of Object.entries(keys)) {
    const value = get(theirs);
    if (value !== undefined) config[ours] = ours === "rms_norm_eps" ? shorten(Number(value)) : value;
  }
  const listed = outline.tensors.size > 0;
  return {
    ...config,
    num_hidden_layers: minus(get("block_count"), get("nextn_predict_layers")),
    vocab_size: outline.tensors.get("token_embd.weight")?.shape[0] ?? get("vocab_size") ?? tokens(outline),
    ...(whole && { tie_word_embeddings: !has("output.weight") }),
    ...(listed && {
      attention_bias: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias") || has("blk.0.attn_kv_a_mqa.bias"),
      mlp_bias: has("blk.0.ffn_up.bias"),
      use_qk_norm: has("blk.0.attn_q_norm.weight"),
      router_correction: [...outline.tensors.keys()].some((tensor) => tensor.includes("exp_probs_b")),
    }),
    ...windows(header),
    ...(config.kv_lora_rank ? { ...latentWidths(get), head_dim: null } : values(header)),
    ...special(header, config),
  };
}

const minus = (a: unknown, b: unknown) => (typeof a === "number" && typeof b === "number" ? a - b : a);

function tokens({ metadata }: Outline): number | undefined {
  const found = metadata.get("tokenizer.ggml.tokens");
  return found?.type === "string[]" ? found.value.length : undefined;
}

/** Which layers have a window, where the header lists them. */
function windows(header: Header): Config {
  const pattern = read(header, "attention.sliding_window_pattern");
  if (Array.isArray(pattern))
    return { layer_types: pattern.map((slides) => (slides ? "sliding_attention" : "full_attention")) };
  return typeof pattern === "number" ? { sliding_window_pattern: pattern } : {};
}

/** Widths of values, where they are not those of keys. */
function values(header: Header): Config {
  const [key, value] = [read(header, "attention.key_length"), read(header, "attention.value_length")];
  return value === undefined || value === key ? {} : { v_head_dim: value };
}

/** What one architecture alone says otherwise. */
function special(header: Header, config: Record<string, unknown>): Config {
  const { arch, outline } = header;
  const get = (key: string) => read(header, key);
  const heads = get("attention.head_count_kv");
  switch (arch) {
    case "deepseek2": {
      // Parts of a model may lack the bias that only picks.
      const biased = !header.whole || [...outline.tensors.keys()].some((tensor) => tensor.includes("exp_probs_b"));
      return {
        model_type: config.n_routed_experts
          ? (modelTypeOf(get("expert_gating_func"), biased) ?? "deepseek_v3")
          : "deepseek_v3",
      };
    }
    case "qwen3next":
    case "qwen35":
    case "qwen35moe": {
      const [all, each] = [get("ssm.inner_size"), get("ssm.time_step_rank")];
      return { linear_value_head_dim: typeof all === "number" && typeof each === "number" ? all / each : undefined };
    }
    case "kimi-linear":
      return {
        num_key_value_heads: null,
        linear_conv_kernel_dim: null,
        linear_attn_config: {
          kda_layers: Array.isArray(heads) ? heads.flatMap((g, i) => (g === 0 ? [i + 1] : [])) : [],
          num_heads: get("attention.head_count"),
          head_dim: get("kda.head_dim"),
          short_conv_kernel_size: get("ssm.conv_kernel"),
        },
      };
    case "bailingmoe3": {
      const full = Array.isArray(heads) ? heads.map((g) => g !== 0) : [];
      const gates = outline.tensors.get(`blk.${full.indexOf(true)}.attn_gate.weight`)?.shape[0];
      const [all, v] = [get("attention.head_count"), get("attention.value_length_mla")];
      const each = typeof all === "number" && typeof v === "number" && v > 1 && gates === all * v;
      return {
        num_key_value_heads: null,
        linear_conv_kernel_dim: null,
        architectures: [third],
        layer_group_size: groupOf(full.slice(0, Number(minus(get("block_count"), get("nextn_predict_layers") ?? 0)))),
        head_dim: get("kda.head_dim"),
        short_conv_kernel_size: get("ssm.conv_kernel"),
        kda_lower_bound: get("kda.gate_lower_bound"),
        gated_attention_proj_granularity_type: each ? "element_wise" : "head_wise",
      };
    }
    case "gemma4":
      return {
        head_dim: get("attention.key_length_swa") ?? config.head_dim,
        global_head_dim: get("attention.key_length"),
        v_head_dim: null,
        attention_k_eq_v: header.whole && [...outline.tensors.keys()].some((t) => lacksValues(t, outline)),
        enable_moe_block: get("expert_count") !== undefined,
      };
    case "mimo2": {
      const pattern = get("attention.sliding_window_pattern");
      return {
        hybrid_layer_pattern: Array.isArray(pattern) ? pattern.map(Number) : undefined,
        layer_types: null,
        add_swa_attention_sink_bias: [...outline.tensors.keys()].some((tensor) => tensor.includes("attn_sinks")),
      };
    }
    case "llama4":
      return {
        attention_chunk_size: 8192,
        shared_expert_intermediate_size: get("expert_shared_feed_forward_length") ?? get("expert_feed_forward_length"),
        layer_types: Array.from({ length: Math.min(LONGEST, Number(get("block_count")) || 0) }, (_, i) =>
          (i + 1) % 4 ? "chunked_attention" : "full_attention",
        ),
      };
    default:
      return {};
  }
}

/** A layer with keys and no values of its own. */
function lacksValues(tensor: string, { tensors }: Outline): boolean {
  return tensor.endsWith(".attn_k.weight") && !tensors.has(tensor.replace(".attn_k.", ".attn_v."));
}
