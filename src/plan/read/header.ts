import type { Config } from "../../family/config.ts";
import { expertSettings } from "../../family/experts.ts";
import { decoderSettings, hubKeys, shorten } from "../../family/gguf.ts";
import { groupedSettings } from "../../family/grouped.ts";
import { latentSettings, latentWidths } from "../../family/latent.ts";
import type { Outline } from "../../file/outline.ts";
import { FormatError } from "../../tensor/error.ts";
import { decides, isAbsent } from "./ledger.ts";
import { special } from "./special.ts";

/** A GGUF header as a plan reads it. */
export interface Header {
  /** `general.architecture`, with which the keys begin. */
  readonly arch: string;
  readonly outline: Outline;
  /** Files that the model is split over; and whether all of the model's tensors are in this one. */
  readonly parts: number;
  readonly whole: boolean;
  /** The keys that were asked for, and the header's for each of the hub's. */
  readonly asked: Set<string>;
  readonly names: Map<string, string>;
}

/** A header of which no key was asked for yet. Throws FormatError where it names no architecture. */
export function openHeader(outline: Outline): Header {
  const arch = outline.metadata.get("general.architecture")?.value;
  if (typeof arch !== "string" || arch.length > 80)
    throw new FormatError(
      `${outline.file}: general.architecture: got ${arch === undefined ? "nothing" : "no name"}, expected that of a language model; use another file`,
    );
  const said = outline.metadata.get("split.count")?.value;
  const parts = typeof said === "number" ? said : 1;
  return { arch, outline, parts, whole: !(parts > 1) && outline.tensors.size > 0, asked: new Set(), names: new Map() };
}

/** What the hub calls architectures that llama.cpp calls otherwise (llama-arch.cpp). */
const modelTypes: Readonly<Record<string, string>> = {
  baichuan: "baichuan",
  bailingmoe: "bailing_moe",
  bailingmoe2: "bailing_moe_v2",
  bailingmoe3: "bailing_hybrid",
  deepseek32: "deepseek_v32",
  deepseek4: "deepseek_v4",
  deepseek41: "deepseek_v41",
  deci: "nemotron-nas",
  "command-r": "cohere",
  granitehybrid: "granitemoehybrid",
  "falcon-h1": "falcon_h1",
  lfm2moe: "lfm2_moe",
  nemotron_h_moe: "nemotron_h",
  "ernie4_5-moe": "ernie4_5_moe",
  gemma3: "gemma3_text",
  gemma3n: "gemma3n_text",
  gemma4: "gemma4_text",
  "glm-dsa": "glm_moe_dsa",
  glm4moe: "glm4_moe",
  "gpt-oss": "gpt_oss",
  gptneox: "gpt_neox",
  glm5next: "glm5_next",
  "hunyuan-dense": "hunyuan_v1_dense",
  "hunyuan-moe": "hunyuan_v1_moe",
  "kimi-linear": "kimi_linear",
  llama4: "llama4_text",
  mimo2: "mimo_v2_flash",
  "minimax-m2": "minimax_m2",
  "minimax-m3": "minimax_m3",
  phi2: "phi",
  qwen2moe: "qwen2_moe",
  qwen2vl: "qwen2_vl",
  qwen3moe: "qwen3_moe",
  qwen3next: "qwen3_next",
  qwen35: "qwen3_5_text",
  qwen35moe: "qwen3_5_moe_text",
  qwen3vl: "qwen3_vl_text",
  qwen3vlmoe: "qwen3_vl_moe_text",
  qwen4exp: "qwen4_exp",
};

/** The hub's keys for a header's: those that the families' files say, and those of what Biform plans and does not run. */
const keys: Readonly<Record<string, string>> = {
  ...hubKeys({ ...decoderSettings, ...groupedSettings, ...latentSettings, ...expertSettings }),
  "attention.sliding_window": "sliding_window",
  "attention.indexer.head_count": "index_n_heads",
  "attention.indexer.key_length": "index_head_dim",
  "attention.indexer.top_k": "index_topk",
  "attention.indexer.kpool": "index_kpool",
  "attention.compress_ratios": "compress_ratios",
  "attention.shared_kv_layers": "num_kv_shared_layers",
  "hyper_connection.count": "hc_mult",
  hash_layer_count: "num_hash_layers",
  expert_shared_feed_forward_length: "shared_expert_intermediate_size",
  interleave_moe_layer_step: "decoder_sparse_step",
  embedding_length_per_layer_input: "hidden_size_per_layer_input",
  "altup.num_inputs": "altup_num_inputs",
  full_attention_interval: "full_attention_interval",
};

/** Layers and axes that a list in a header may speak of. */
const LONGEST = 4096;

/** A header's value: a number, a flag, a text, or a list of these for layers. Throws FormatError for a longer list. */
export function read({ arch, outline, asked }: Header, key: string): unknown {
  asked.add(key);
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
    if (value === undefined) continue;
    config[ours] = ours === "rms_norm_eps" ? shorten(Number(value)) : value;
    header.names.set(ours, `${arch}.${theirs}`);
  }
  const listed = outline.tensors.size > 0;
  const layers = layersOf(header);
  // With latents these are the widths of what is cached, which follow from the ranks.
  const widths = values(header);
  return {
    ...config,
    ...layers,
    vocab_size: outline.tensors.get("token_embd.weight")?.shape[0] ?? get("vocab_size") ?? tokens(outline),
    ...(whole && { tie_word_embeddings: !has("output.weight") }),
    ...(listed && {
      attention_bias: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias") || has("blk.0.attn_kv_a_mqa.bias"),
      mlp_bias: has("blk.0.ffn_up.bias"),
      use_qk_norm: has("blk.0.attn_q_norm.weight"),
      router_correction: [...outline.tensors.keys()].some((tensor) => tensor.includes("exp_probs_b")),
    }),
    ...windows(header),
    ...(config.kv_lora_rank ? { ...latentWidths(get), head_dim: null } : widths),
    ...special(header, get, { ...config, ...layers }),
  };
}

/**
 * Layers of the model itself and those that propose further tokens, which block_count has among its blocks unless the file left them
 * out of it: there the last block is one of the model's, without what joins an embedding.
 */
function layersOf(header: Header): Config {
  const [blocks, further] = [read(header, "block_count"), read(header, "nextn_predict_layers")];
  if (typeof blocks !== "number" || typeof further !== "number" || further === 0) return { num_hidden_layers: blocks };
  const own = blocks - further;
  const tensors = [...header.outline.tensors.keys()];
  const joins = tensors.some((tensor) => tensor.startsWith(`blk.${own}.nextn.`));
  if (!joins && tensors.some((tensor) => tensor.startsWith(`blk.${blocks - 1}.`))) return { num_hidden_layers: blocks };
  return { num_hidden_layers: own, num_nextn_predict_layers: further };
}

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

/** Keys of a header that can change caches or attention and that nobody asked for. */
export function unaskedKeys({ arch, outline, asked }: Header): string[] {
  return [...outline.metadata].flatMap(([name, { value, type }]) => {
    if (!name.startsWith(`${arch}.`)) return [];
    const key = name.slice(arch.length + 1);
    const list = type.endsWith("]");
    if (asked.has(key) || !decides(key.replaceAll(".", "_"))) return [];
    if (isAbsent(key, list ? Array.from(value as ArrayLike<unknown>).slice(0, LONGEST) : value)) return [];
    return [name];
  });
}
