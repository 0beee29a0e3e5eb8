import type { Config } from "../../family/config.ts";
import { modelTypeOf } from "../../family/deepseek.ts";
import { groupOf, third } from "../../family/ling.ts";
import type { Outline } from "../../file/outline.ts";
import type { Header } from "./header.ts";
import { stateful } from "./stateful.ts";

/** What asks a header for the value of a key. */
export type Get = (key: string) => unknown;

/** A header, its keys, and what its general ones became. */
export interface Given {
  readonly header: Header;
  readonly get: Get;
  readonly config: Config;
}

const hasTensor = ({ outline }: Header, part: string) =>
  [...outline.tensors.keys()].some((tensor) => tensor.includes(part));
const flags = (value: unknown): readonly boolean[] | undefined =>
  Array.isArray(value) ? value.map(Boolean) : undefined;

/** Kinds of layers by a list that says which have a state in place of a cache. */
const kindsBy = (recurrent: readonly boolean[] | undefined): Config =>
  recurrent ? { layer_types: recurrent.map((state) => (state ? "linear_attention" : "full_attention")) } : {};

/** Gated delta net's sizes, which llama.cpp keeps under Mamba's names. A list of layers goes before an interval (src/models/qwen35.cpp). */
function gatedDelta({ get }: Given): Config {
  const [all, heads] = [get("ssm.inner_size"), get("ssm.time_step_rank")];
  return {
    linear_conv_kernel_dim: get("ssm.conv_kernel"),
    linear_key_head_dim: get("ssm.state_size"),
    linear_num_key_heads: get("ssm.group_count"),
    linear_num_value_heads: heads,
    linear_value_head_dim: typeof all === "number" && typeof heads === "number" ? all / heads : undefined,
    ...kindsBy(flags(get("attention.recurrent_layers"))),
  };
}

/** Layers that have an indexer of their own. GLM-5.2's files before the key was there are told by their context (llama.cpp, src/models/glm-dsa.cpp). */
function indexers({ get, config }: Given): Config {
  const own = flags(get("attention.indexer.types"));
  if (own) return { indexer_types: own.map((full) => (full ? "full" : "shared")) };
  const long = Number(config.max_position_embeddings) >= 2 ** 20;
  return long ? { index_topk_freq: 4, index_skip_topk_offset: 3 } : {};
}

/** Numbers of the layers that have a tensor by this name. */
const layersWith = ({ outline }: Header, part: string): readonly number[] =>
  [...outline.tensors.keys()].flatMap((tensor) => {
    const [, block, name] = /^blk\.(\d{1,5})\.(.+)$/.exec(tensor) ?? [];
    return name === part ? [Number(block)] : [];
  });

/** A list of layers by its key; by the layers that have a tensor where a file with tensors has no such key. */
function listedOr({ header, get }: Given, key: string, tensor: string): unknown {
  const [said, found] = [get(key), layersWith(header, tensor)];
  return said ?? (found.length ? found.toSorted((a, b) => a - b) : undefined);
}

/** Marks keys as asked for that say how something is looked up, and nothing of how much there is. */
const pass = ({ asked }: Header, ...keys: readonly string[]) => {
  for (const key of keys) asked.add(key);
};

/**
 * DeepSeek-V4.1 as its converters write it (ggml-org/llama.cpp#28696, ikawrakow/ik_llama.cpp#2455): which layers make entries and run
 * indexers is in keys, or in which of them have the tensors; rows of Engram's tables likewise.
 */
function reusing(given: Given): Config {
  const { header, get, config } = given;
  pass(header, "engram.multipliers", "engram.primes", "engram.offsets", "engram.token_map", "engram.pad_id");
  const ids = get("engram.layer_ids");
  const rows = (i: unknown) => header.outline.tensors.get(`blk.${i}.engram_embd.weight`)?.shape[0];
  header.names.set("kv_source_layer_ids", "deepseek41.attention.kv_source_layer_ids");
  header.names.set("index_source_layer_ids", "deepseek41.attention.index_source_layer_ids");
  return {
    qk_rope_head_dim: get("rope.dimension_count"),
    head_dim: config.head_dim ?? get("attention.key_length"),
    o_groups: get("attention.output_group_count"),
    o_lora_rank: get("attention.output_lora_rank"),
    num_hash_layers: 0,
    kv_source_layer_ids: listedOr(given, "attention.kv_source_layer_ids", "attn_compressor_kv.weight"),
    index_source_layer_ids: listedOr(given, "attention.index_source_layer_ids", "indexer.attn_q_b.weight"),
    candidate_source_layer_id: get("attention.candidate_source_layer_id"),
    candidate_topk_blocks: get("attention.candidate_topk_blocks"),
    candidate_block_size: get("attention.candidate_block_size"),
    engram_layer_ids: ids,
    engram_num_embeddings: get("engram.num_embeddings") ?? (Array.isArray(ids) ? ids.map(rows) : undefined),
    ...(Array.isArray(ids) && {
      engram_n_heads: get("engram.head_count"),
      engram_head_dim: get("engram.key_length"),
      engram_max_ngram_size: get("engram.max_ngram_size"),
    }),
  };
}

/** Qwen3.8-Flash-Next: one ratio of all indexers, and one table of n-grams, whose rows each head has its own count of (src/models/qwen4exp.cpp). */
function experimental(given: Given): Config {
  const { header, get, config } = given;
  pass(header, "ple.layer_multipliers", "ple.head_offsets", "ple.eos_token_id", "ple.image_token_id");
  const [ratios, layers, rows] = [get("attention.compress_ratios"), get("ple.layers"), get("ple.head_vocab_sizes")];
  const [longest, split, each] = ["ple.ngram_size", "ple.heads_per_ngram", "embedding_length_per_layer_input"].map(get);
  const heads = (Number(longest) - 1) * Number(split);
  const counts = Array.isArray(rows) ? rows.map(Number) : [];
  return {
    ...gatedDelta(given),
    full_attention_interval: get("full_attention_interval"),
    compress_ratios: null,
    hc_mult: null,
    hidden_size_per_layer_input: null,
    hc_count: get("hyper_connection.count"),
    hc_lowrank: get("hyper_connection.low_rank"),
    indexer_n_heads: config.index_n_heads,
    indexer_head_dim: config.index_head_dim,
    indexer_budget: config.index_topk,
    indexer_compress_ratio: Array.isArray(ratios) ? Math.max(...ratios.map(Number)) : ratios,
    index_n_heads: null,
    index_head_dim: null,
    index_topk: null,
    ...(Array.isArray(layers) && {
      ple_layer_ids: layers.map((i) => Number(i) + 1),
      ngram_size: longest,
      heads_per_ngram: split,
      ple_conv_kernel_size: get("ple.conv_kernel"),
      ple_embed_dim: heads * Number(each),
      ngram_vocab_size_base: Math.round(counts.reduce((a, b) => a + b, 0) / heads),
    }),
  };
}

/** Hy4: whether it has sinks, gates and streams is in its tensors, where a file lists them (src/models/hy-v4.cpp). */
function hunyuanFourth(given: Given): Config {
  const { header, get } = given;
  return {
    ...indexers(given),
    index_topk_freq: null,
    index_skip_topk_offset: null,
    enable_ihc: Number(get("hyper_connection.count") ?? 0) > 0,
    ...(header.whole && {
      learnable_sink: hasTensor(header, "attn_sinks"),
      gated_mla: hasTensor(header, "attn_gate."),
    }),
  };
}

/** What one architecture alone says otherwise. */
const ways: Readonly<Record<string, (given: Given) => Config>> = {
  ...stateful,
  deepseek2({ header, get, config }) {
    // Parts of a model may lack the bias that only picks.
    const biased = !header.whole || hasTensor(header, "exp_probs_b");
    return {
      model_type: config.n_routed_experts
        ? (modelTypeOf({ gating: get("expert_gating_func"), biased }) ?? "deepseek_v3")
        : "deepseek_v3",
    };
  },
  deepseek4: ({ get, config }) => ({
    qk_rope_head_dim: get("rope.dimension_count"),
    head_dim: config.head_dim ?? get("attention.key_length"),
    o_groups: get("attention.output_group_count"),
    o_lora_rank: get("attention.output_lora_rank"),
    num_hash_layers: config.num_hash_layers ?? 3,
  }),
  "glm-dsa": indexers,
  axk2: indexers,
  /** Every layer after the first dense ones has an index key (llama.cpp, src/models/minimax-m3.cpp). */
  "minimax-m3": ({ get, config }) => ({
    index_n_heads: null,
    index_head_dim: null,
    index_topk: null,
    sparse_attention_config: {
      sparse_attention_freq: layersBy(config, (i) => (i < Number(config.first_k_dense_replace ?? 0) ? 0 : 1)),
      sparse_index_dim: get("attention.indexer.key_length"),
      sparse_num_index_heads: get("attention.indexer.head_count"),
      sparse_block_size: get("attention.indexer.block_size"),
      sparse_topk_blocks: get("attention.indexer.top_k"),
      sparse_local_block: get("attention.indexer.local_blocks"),
    },
  }),
  deepseek41: reusing,
  qwen4exp: experimental,
  hy_v4: hunyuanFourth,
  qwen3next: gatedDelta,
  qwen35: gatedDelta,
  qwen35moe: gatedDelta,
  "kimi-linear"({ get }) {
    const heads = get("attention.head_count_kv");
    return {
      num_key_value_heads: null,
      linear_attn_config: {
        kda_layers: Array.isArray(heads) ? heads.flatMap((g, i) => (g === 0 ? [i + 1] : [])) : [],
        num_heads: get("attention.head_count"),
        head_dim: get("kda.head_dim"),
        short_conv_kernel_size: get("ssm.conv_kernel"),
      },
    };
  },
  bailingmoe3({ header, get, config }) {
    const heads = get("attention.head_count_kv");
    const full = Array.isArray(heads) ? heads.map((g) => g !== 0) : [];
    const gates = header.outline.tensors.get(`blk.${full.indexOf(true)}.attn_gate.weight`)?.shape[0];
    const [all, v] = [get("attention.head_count"), get("attention.value_length_mla")];
    const each = typeof all === "number" && typeof v === "number" && v > 1 && gates === all * v;
    return {
      num_key_value_heads: null,
      architectures: [third],
      layer_group_size: groupOf(full.slice(0, Number(config.num_hidden_layers ?? 0))),
      head_dim: get("kda.head_dim"),
      short_conv_kernel_size: get("ssm.conv_kernel"),
      kda_safe_gate: get("kda.safe_gate"),
      kda_lower_bound: get("kda.gate_lower_bound"),
      gated_attention_proj_granularity_type: each ? "element_wise" : "head_wise",
    };
  },
  gemma4({ header, get, config }) {
    const near = get("attention.key_length_swa") ?? config.head_dim;
    return {
      head_dim: near,
      // Values are as wide as keys, in either kind of layer.
      v_head_dim: (get("attention.value_length_swa") ?? near) === near ? null : get("attention.value_length_swa"),
      global_head_dim: get("attention.key_length"),
      attention_k_eq_v: header.whole && [...header.outline.tensors.keys()].some((t) => lacksValues(t, header.outline)),
      enable_moe_block: get("expert_count") !== undefined,
    };
  },
  mimo2: (given) => ({ ...twoWidths(given), add_swa_attention_sink_bias: hasTensor(given.header, "attn_sinks") }),
  /** Every fourth layer sees everything, the first of each (llama.cpp, src/models/motif3.cpp). */
  motif3: ({ config }) => ({
    layer_types: layersBy(config, (i) => (i % 4 ? "sliding_attention" : "full_attention")),
  }),
  llama4: ({ get, config }) => ({
    attention_chunk_size: 8192,
    shared_expert_intermediate_size: get("expert_shared_feed_forward_length") ?? get("expert_feed_forward_length"),
    layer_types: layersBy(config, (i) => ((i + 1) % 4 ? "chunked_attention" : "full_attention")),
  }),
};

/** Layers with a window whose heads have other widths. */
function twoWidths({ header, get }: Given): Config {
  header.names.set("swa_head_dim", `${header.arch}.attention.key_length_swa`);
  header.names.set("swa_v_head_dim", `${header.arch}.attention.value_length_swa`);
  const pattern = get("attention.sliding_window_pattern");
  return {
    hybrid_layer_pattern: Array.isArray(pattern) ? pattern.map(Number) : undefined,
    layer_types: null,
    swa_head_dim: get("attention.key_length_swa"),
    swa_v_head_dim: get("attention.value_length_swa"),
  };
}

/** A kind for each layer, of no more than a list may have. */
const layersBy = <T>({ num_hidden_layers: layers }: Config, kind: (i: number) => T): T[] =>
  Array.from({ length: Math.min(4096, Number(layers) || 0) }, (_, i) => kind(i));

/** A layer with keys and no values of its own. */
function lacksValues(tensor: string, { tensors }: Outline): boolean {
  return tensor.endsWith(".attn_k.weight") && !tensors.has(tensor.replace(".attn_k.", ".attn_v."));
}

/** The hub's keys that follow from what one architecture alone says otherwise. */
export function special(header: Header, get: Get, config: Config): Config {
  const given = { header, get, config };
  if (Object.hasOwn(ways, header.arch)) return ways[header.arch]!(given);
  return get("attention.key_length_swa") === undefined ? {} : twoWidths(given);
}
