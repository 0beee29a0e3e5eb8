import { z } from "zod";
import type { FeedForward, Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";

/** A checkpoint's config.json as it was read. */
export type Config = Readonly<Record<string, unknown>>;

/** Rows `from` up to `to` of each of `count` blocks of `block` rows lying one after the other. */
export interface Rows {
  readonly count: number;
  readonly block: number;
  readonly from: number;
  readonly to: number;
  /** Where each of our rows lies among those: row i of ours is `from + order[i]`. As they lie unless given. */
  readonly order?: readonly number[];
}

/** Where a parameter of ours lies in a checkpoint. */
export interface Source {
  /** One tensor, or several alike that are stacked along a new first axis (experts). */
  readonly tensors: readonly string[];
  /** The shape each has in the file: `[out, in]` for a matrix. All axes but the last count rows. */
  readonly shape: readonly number[];
  /** The tensor's first axis, where each of its parts is to be treated as a tensor of its own (experts in one tensor). */
  readonly slices?: number;
  /** All rows unless given. */
  readonly rows?: Rows;
  /**
   * Files hold matrices `[out, in]`; ours are `[in, out]`, so most are transposed once their rows are chosen. `swapped`: the two
   * leading axes of `[a, b, in]` change places.
   */
  readonly layout: "transposed" | "stored" | "swapped";
  /** Where the tensor holds 8-bit floats: each block `[out, in]` is multiplied by its number in the tensor with this suffix. */
  readonly scales?: Scales;
}

/** The scales of a matrix in 8-bit floats: `[out / block[0], in / block[1]]`, rounded up, under its name and a suffix. */
export interface Scales {
  readonly suffix: string;
  readonly block: readonly [number, number];
}

/** Parameters of ours and where each comes from. */
export type Sources = ReadonlyMap<string, Source>;

/** A kind of checkpoint: what its config means and what it calls its tensors. Nothing else knows either. */
export interface Family {
  /** The `model_type` values it reads. */
  readonly modelTypes: readonly string[];
  /** Throws FormatError naming the key that is missing, out of range, or asks for something that is not supported. */
  model(config: Config): Model;
  /** One source for every parameter that `parametersOf(model)` lists. */
  sources(model: Model, config: Config): Sources;
  /** Tensors that may lie in the checkpoint beside the parameters and change nothing. */
  ignores(tensor: string, model: Model, config: Config): boolean;
}

/** A whole number from 1 to `max`: every count in a config is bounded before anything is allocated for it. */
export const count = (max: number) => z.number().int().min(1).max(max);

/** Limits that no model of these families comes near. */
export const limits = { width: 2 ** 17, layers: 512, heads: 4096, vocabulary: 2 ** 22, experts: 4096 } as const;

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

const ignorable = new Set(
  `architectures auto_map name_or_path torch_dtype dtype transformers_version tokenizer_class use_cache initializer_range
  pretraining_tp ep_size aux_loss_alpha seq_aux router_aux_loss_coef embedding_initializer_range output_router_logits num_nextn_predict_layers
  output_attentions output_hidden_states return_dict use_return_dict return_dict_in_generate torchscript use_bfloat16
  tie_encoder_decoder is_decoder is_encoder_decoder add_cross_attention cross_attention_hidden_size chunk_size_feed_forward
  pruned_heads remove_invalid_values tf_legacy_loss problem_type task_specific_params id2label label2id num_labels
  finetuning_task prefix bad_words_ids suppress_tokens begin_suppress_tokens exponential_decay_length_penalty
  max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p
  repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences output_scores
  model_max_length max_window_layers unsloth_fixed unsloth_version biform`.split(/\s+/),
);

/** Keys that say nothing about the numbers a forward pass gives: bookkeeping, generation settings, training settings. */
function changesNothing(key: string): boolean {
  return ignorable.has(key) || key.startsWith("_") || /_token_id$|_dropout$|^dropout|_pdrop$/.test(key);
}

/**
 * Reads a config by a family's schema. A key that is neither in the schema nor known to change nothing is refused, since it
 * may change the computation; an unknown key that is null says that something is absent and passes.
 *
 * Errors: FormatError naming the key.
 */
export function readConfig<T>(config: Config, schema: z.ZodObject<z.ZodRawShape> & z.ZodType<T>): T {
  const known = Object.keys(schema.shape);
  const kept = Object.entries(config).filter(
    ([key, value]) => known.includes(key) || !(value === null || changesNothing(key)),
  );
  const result = schema.safeParse(Object.fromEntries(kept));
  const unknown = kept.find(([key]) => !known.includes(key));
  if (unknown)
    throw new FormatError(
      `${unknown[0].slice(0, 80)}: got a key that is not known for ` +
        `${config.model_type === undefined ? "this architecture" : `model_type ${JSON.stringify(config.model_type)}`}, ` +
        "expected it absent or null; it could change the numbers, so it is not ignored",
    );
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw refused(issue.path.join(".") || "config", config[String(issue.path[0])], issue.message);
}

/** The error for a config's value, from what zod says of it. */
export function refused(key: string, value: unknown, message: string): FormatError {
  const wanted = message.replace(/^[^:]*: (?=expected )/, "").replace(/^expected |, received .*$/g, "");
  const got = (JSON.stringify(value) ?? "nothing").slice(0, 80);
  return new FormatError(`${key}: got ${got}, expected ${wanted}; anything else is not supported`);
}

/** A linear layer's weight `[out, in]`, or some of its rows. */
export function linear(tensor: string, out: number, inputs: number, rows?: Rows): Source {
  return { tensors: [tensor], shape: [out, inputs], layout: "transposed", ...(rows ? { rows } : {}) };
}

/** A gain or a bias `[n]`, or some of its elements. */
export function vector(tensor: string, n: number, rows?: Rows): Source {
  return { tensors: [tensor], shape: [n], layout: "stored", ...(rows ? { rows } : {}) };
}

/** Rows `from` up to `to` of each of `count` heads' blocks. */
export function perHead(count: number, block: number, from: number, to: number): Rows {
  return { count, block, from, to };
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

/** Throws FormatError where a config says something else of a size than follows from its others. */
export function mustBe(key: string, value: number | null | undefined, wanted: number, whose: string): void {
  if (value !== undefined && value !== null && value !== wanted)
    throw new FormatError(`${key}: got ${value}, expected ${wanted} (${whose}); other values are not supported`);
}
