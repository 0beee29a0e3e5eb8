import type { Config } from "../family/config.ts";
import { scaledRotation } from "../family/scaling.ts";
import type { GgufType } from "../file/gguf.ts";
import type { Metadata, Value } from "../file/metadata.ts";
import type { GgufTensor } from "../file/writer.ts";
import { FormatError } from "../tensor/error.ts";
import { blocks, isQuant } from "../tensor/quant.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** How MLA's up-projections lie: key and value apart, as newer files have them, or joined as in a folder. */
export type MlaLayout = "absorbed" | "joint";

/** A folder's tensors: their shapes, and how to get one's numbers. */
export interface Tensors {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  read(name: string): Float32Array | Promise<Float32Array>;
}

/** Names within a layer: a folder's and GGUF's. Weights and biases keep their endings. */
const within: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "self_attn.q_a_proj": "attn_q_a",
  "self_attn.q_a_layernorm": "attn_q_a_norm",
  "self_attn.q_b_proj": "attn_q_b",
  "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
  "self_attn.kv_a_layernorm": "attn_kv_a_norm",
  "self_attn.kv_b_proj": "attn_kv_b",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  "mlp.gate": "ffn_gate_inp",
  "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
  "mlp.shared_experts.up_proj": "ffn_up_shexp",
  "mlp.shared_experts.down_proj": "ffn_down_shexp",
};
const outside: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};

const archOf: Readonly<Record<string, string>> = {
  llama: "llama",
  qwen3: "qwen3",
  deepseek_v2: "deepseek2",
  deepseek_v3: "deepseek2",
  minicpm3: "minicpm3",
};

const number = (config: Config, key: string, otherwise?: number): number => {
  const value = config[key] ?? otherwise;
  if (typeof value !== "number") throw new FormatError(`${key}: got ${JSON.stringify(value)}, expected a number`);
  return value;
};

/**
 * A folder's tensors as those of a GGUF file, in the conventions of llama.cpp's converter. Matrices get `type`, or the nearest
 * whose blocks divide their rows; gains, biases and routers stay float32. Throws FormatError for a tensor it has no name for.
 */
export function ggufTensors(config: Config, tensors: Tensors, type: GgufType, layout: MlaLayout): GgufTensor[] {
  const list: GgufTensor[] = [...tables(config)];
  const experts = number(config, "n_routed_experts", 0);
  const h = number(config, "num_attention_heads");
  const splits = archOf[String(config.model_type)] === "deepseek2" && layout === "absorbed";
  for (const [name, shape] of tensors.shapes) {
    const put = (to: string, own: readonly number[], data: GgufTensor["data"], dtype = typeFor(type, own)) =>
      list.push({ name: to, shape: own, dtype, data });
    const read = () => tensors.read(name);
    const whole = outside[name];
    if (whole) {
      put(whole, shape, read);
      continue;
    }
    const [, layer, part = "", ending = ""] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
    const [, correction] = /^model\.layers\.(\d+)\.mlp\.gate\.e_score_correction_bias$/.exec(name) ?? [];
    const [, expert, which] = /^mlp\.experts\.(\d+)\.(gate|up|down)_proj$/.exec(part) ?? [];
    const blk = `blk.${layer}.`;
    if (correction) put(`blk.${correction}.exp_probs_b.bias`, shape, read, "F32");
    else if (expert) {
      // All experts of a layer go into one tensor, where the first is met.
      if (expert !== "0") continue;
      const of = (i: number) => name.replace(".experts.0.", `.experts.${i}.`);
      put(`${blk}ffn_${which}_exps.weight`, [experts, ...shape], async () => {
        const all = new Float32Array(experts * shape[0]! * shape[1]!);
        for (let i = 0; i < experts; i++) all.set(await tensors.read(of(i)), (i * all.length) / experts);
        return all;
      });
    } else if (part === "self_attn.kv_b_proj" && splits) {
      const [n, v] = [number(config, "qk_nope_head_dim"), number(config, "v_head_dim")];
      const c = shape[1]!;
      put(`${blk}attn_k_b.weight`, [h, c, n], async () => keysOf(await read(), h, n, v, c));
      put(`${blk}attn_v_b.weight`, [h, v, c], async () => valuesOf(await read(), h, n, v, c));
    } else if (within[part]) {
      const turned = config.model_type === "llama" && /^self_attn\.([qk])_proj$/.exec(part)?.[1];
      const heads = turned === "k" ? number(config, "num_key_value_heads", h) : h;
      const data = turned ? async () => neighbours(await read(), heads, shape[1] ?? 1) : read;
      put(`${blk}${within[part]}.${ending}`, shape, data, part === "mlp.gate" ? "F32" : typeFor(type, shape));
    } else throw new FormatError(`${name}: got a tensor without a name in GGUF, expected one of the families' own`);
  }
  return list;
}

/** A type that the rows of a shape can have. */
function typeFor(type: GgufType, shape: readonly number[]): GgufType {
  if (shape.length < 2) return "F32";
  const row = shape.at(-1)!;
  if (!isQuant(type) || row % blocks[type].elements === 0) return type;
  return row % blocks.Q8_0.elements === 0 ? "Q8_0" : "F16";
}

/** Each head's rotary pairs from halves to neighbours: rows j and j + e/2 become 2j and 2j + 1. Rows are `width` wide. */
function neighbours(x: Float32Array, heads: number, width: number): Float32Array {
  const out = new Float32Array(x.length);
  const e = x.length / width / heads;
  for (let head = 0; head < heads; head++)
    for (let row = 0; row < e; row++) {
      const to = row < e / 2 ? 2 * row : 2 * (row - e / 2) + 1;
      const from = (head * e + row) * width;
      out.set(x.subarray(from, from + width), (head * e + to) * width);
    }
  return out;
}

/** Rows of kv_b, per head [key | value] over the latent: the keys `[h, c, n]`. */
function keysOf(x: Float32Array, h: number, n: number, v: number, c: number): Float32Array {
  const out = new Float32Array(h * c * n);
  for (let head = 0; head < h; head++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < c; j++) out[(head * c + j) * n + i] = x[(head * (n + v) + i) * c + j]!;
  return out;
}

/** The values of the same `[h, v, c]`. */
function valuesOf(x: Float32Array, h: number, n: number, v: number, c: number): Float32Array {
  const out = new Float32Array(h * v * c);
  for (let head = 0; head < h; head++) {
    const from = (head * (n + v) + n) * c;
    out.set(x.subarray(from, from + v * c), head * v * c);
  }
  return out;
}

/** Scaling of positions that lies in tensors: what each rotary pair's frequency is divided by. */
function tables(config: Config): GgufTensor[] {
  const scaling = (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
  const kind = scaling.rope_type ?? scaling.type;
  const table = (name: string, by: ArrayLike<number>): GgufTensor => ({
    name: `${name}.weight`,
    shape: [by.length],
    dtype: "F32",
    data: Float32Array.from(by),
  });
  if (kind === "longrope")
    return (["long", "short"] as const).map((which) =>
      table(`rope_factors_${which}`, scaling[`${which}_factor`] as number[]),
    );
  if (kind !== "llama3") return [];
  const e = number(config, "head_dim", number(config, "hidden_size") / number(config, "num_attention_heads"));
  const { rotation } = scaledRotation(config, e, "half");
  const { rotation: plain } = scaledRotation({ ...config, rope_scaling: null }, e, "half");
  return [
    table(
      "rope_freqs",
      plain.frequencies.map((f, i) => f / rotation.frequencies[i]!),
    ),
  ];
}

/** `general.file_type` of files whose matrices are of a type. */
const fileTypes: Partial<Record<GgufType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q4_K: 14,
  Q5_K: 16,
  Q6_K: 18,
  BF16: 32,
};

/** The metadata of a GGUF file of this config and vocabulary. Throws FormatError for a model that GGUF has no words for. */
export function ggufMetadata(
  config: Config,
  vocabulary: Vocabulary,
  type: GgufType,
  layout: MlaLayout,
  name: string,
): Metadata {
  const arch = archOf[String(config.model_type)];
  if (!arch || config.rope_interleave === false)
    throw new FormatError(
      `model_type: got ${JSON.stringify(config.model_type)}, expected one that GGUF files have: ${Object.keys(archOf).join(", ")}`,
    );
  const all = new Map<string, Value>();
  const text = (key: string, value: string) => all.set(key, { type: "string", value });
  const count = (key: string, value: number) => all.set(key, { type: "u32", value });
  const real = (key: string, value: number) => all.set(key, { type: "f32", value });
  const flag = (key: string, value: boolean) => all.set(key, { type: "bool", value });
  text("general.architecture", arch);
  text("general.type", "model");
  text("general.name", name);
  count("general.file_type", fileTypes[type] ?? 0);
  count("general.quantization_version", 2);
  const own = (key: string) => `${arch}.${key}`;
  const h = number(config, "num_attention_heads");
  count(own("vocab_size"), number(config, "vocab_size"));
  count(own("context_length"), number(config, "max_position_embeddings"));
  count(own("embedding_length"), number(config, "hidden_size"));
  count(own("block_count"), number(config, "num_hidden_layers"));
  count(own("feed_forward_length"), number(config, "intermediate_size"));
  count(own("attention.head_count"), h);
  real(own("attention.layer_norm_rms_epsilon"), number(config, "rms_norm_eps"));
  const rope = (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
  real(own("rope.freq_base"), number(rope, "rope_theta", number(config, "rope_theta", 10000)));
  const kind = rope.rope_type ?? rope.type;
  if (kind === "linear" || kind === "yarn") {
    text(own("rope.scaling.type"), kind);
    real(own("rope.scaling.factor"), number(rope, "factor"));
  }
  if (kind === "yarn") {
    count(own("rope.scaling.original_context_length"), number(rope, "original_max_position_embeddings"));
    real(own("rope.scaling.yarn_beta_fast"), number(rope, "beta_fast", 32));
    real(own("rope.scaling.yarn_beta_slow"), number(rope, "beta_slow", 1));
    // A tenth, as converters write it; the other mscale has no key and is taken for the same.
    if (arch === "deepseek2") real(own("rope.scaling.yarn_log_multiplier"), 0.1 * number(rope, "mscale_all_dim", 0));
  }
  if (arch === "llama" || arch === "qwen3") {
    const e = number(config, "head_dim", number(config, "hidden_size") / h);
    count(own("attention.head_count_kv"), number(config, "num_key_value_heads", h));
    for (const key of ["attention.key_length", "attention.value_length", "rope.dimension_count"]) count(own(key), e);
  } else latentMetadata(config, layout, arch, (key, value) => count(own(key), value));
  if (arch === "deepseek2") {
    const x = number(config, "n_routed_experts", 0);
    const layers = number(config, "num_hidden_layers");
    count(own("leading_dense_block_count"), x ? number(config, "first_k_dense_replace", 0) : layers);
    count(
      own("expert_feed_forward_length"),
      number(config, "moe_intermediate_size", number(config, "intermediate_size")),
    );
    count(own("expert_shared_count"), number(config, "n_shared_experts", 0));
    real(own("expert_weights_scale"), number(config, "routed_scaling_factor", 1));
    if (x) {
      const sigmoid = config.model_type === "deepseek_v3";
      count(own("expert_count"), x);
      count(own("expert_used_count"), number(config, "num_experts_per_tok"));
      count(own("expert_gating_func"), sigmoid ? 2 : 1);
      flag(own("expert_weights_norm"), sigmoid && config.norm_topk_prob !== false);
      if (sigmoid || config.topk_method === "group_limited_greedy") {
        count(own("expert_group_count"), number(config, "n_group", 1));
        count(own("expert_group_used_count"), number(config, "topk_group", 1));
      }
    }
  }
  text("tokenizer.ggml.model", "gpt2");
  text("tokenizer.ggml.pre", "gpt-2");
  const { tokens, special, merges, begin, end, template } = vocabulary;
  all.set("tokenizer.ggml.tokens", { type: "string[]", value: tokens });
  // Normal tokens and, at the end, control tokens.
  const kinds = tokens.map((_, id) => (id < tokens.length - special.length ? 1 : 3));
  all.set("tokenizer.ggml.token_type", { type: "i32[]", value: kinds });
  all.set("tokenizer.ggml.merges", { type: "string[]", value: merges });
  count("tokenizer.ggml.bos_token_id", begin);
  count("tokenizer.ggml.eos_token_id", end);
  flag("tokenizer.ggml.add_bos_token", false);
  text("tokenizer.chat_template", template);
  return all;
}

/** Widths of MLA: newer files tell both those of a head and those of the latent that stands for all heads. */
function latentMetadata(
  config: Config,
  layout: MlaLayout,
  arch: string,
  count: (key: string, value: number) => void,
): void {
  const of = (key: string) => number(config, key);
  const [n, r, c, h] = [of("qk_nope_head_dim"), of("qk_rope_head_dim"), of("kv_lora_rank"), of("num_attention_heads")];
  const v = number(config, "v_head_dim", of("hidden_size") / h);
  if (config.q_lora_rank) count("attention.q_lora_rank", of("q_lora_rank"));
  count("attention.kv_lora_rank", c);
  count("rope.dimension_count", r);
  const absorbed = arch === "deepseek2" && layout === "absorbed";
  count("attention.head_count_kv", absorbed ? 1 : h);
  count("attention.key_length", absorbed ? c + r : n + r);
  count("attention.value_length", absorbed ? c : v);
  if (!absorbed) return;
  count("attention.key_length_mla", n + r);
  count("attention.value_length_mla", v);
}
