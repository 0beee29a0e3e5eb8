import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";

/** A checkpoint's config.json as it was read. */
export type Config = Readonly<Record<string, unknown>>;

/** A whole number from 1 to `max`: every count in a config is bounded before anything is allocated for it. */
export const count = (max: number) => z.number().int().min(1).max(max);

/** Limits that no model of these families comes near. */
export const limits = { width: 2 ** 17, layers: 512, heads: 4096, vocabulary: 2 ** 22, experts: 4096 } as const;

const ignorable = new Set(
  `architectures auto_map name_or_path torch_dtype dtype transformers_version tokenizer_class use_cache initializer_range
  pretraining_tp ep_size aux_loss_alpha seq_aux router_aux_loss_coef embedding_initializer_range output_router_logits num_nextn_predict_layers
  output_attentions output_hidden_states return_dict use_return_dict return_dict_in_generate torchscript use_bfloat16
  tie_encoder_decoder is_decoder is_encoder_decoder add_cross_attention cross_attention_hidden_size chunk_size_feed_forward
  pruned_heads remove_invalid_values tf_legacy_loss problem_type task_specific_params id2label label2id num_labels
  finetuning_task prefix bad_words_ids suppress_tokens begin_suppress_tokens exponential_decay_length_penalty
  max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p
  repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences output_scores
  model_max_length max_window_layers unsloth_fixed unsloth_version biform python`.split(/\s+/),
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
    ([key, value]) => value !== undefined && (known.includes(key) || !(value === null || changesNothing(key))),
  );
  const result = schema.safeParse(Object.fromEntries(kept));
  const unknown = kept.find(([key]) => !known.includes(key));
  if (unknown)
    throw new FormatError(
      `${unknown[0].slice(0, 80)}: got a key that is not known for ` +
        `${config.model_type === undefined ? "this architecture" : `model_type ${formatJson(config.model_type)}`}, ` +
        "expected it absent or null; it could change the numbers, so it is not ignored",
    );
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw refuse(issue.path.join(".") || "config", config[String(issue.path[0])], wantedBy(issue));
}

/** What zod says is wrong with a value: of one that fits none of several kinds, what the first of them asks for. */
export function wantedBy(issue: z.core.$ZodIssue): string {
  const first = issue.code === "invalid_union" ? issue.errors[0]?.[0] : undefined;
  return first && first.path.length === 0 ? wantedBy(first) : issue.message;
}

/** The error for a config's value, from what zod says of it. */
export function refuse(key: string, value: unknown, message: string): FormatError {
  const wanted = message.replace(/^[^:]*: (?=expected )/, "").replace(/^expected |, received .*$/g, "");
  const got = formatJson(value).slice(0, 80);
  return new FormatError(`${key}: got ${got}, expected ${wanted}; anything else is not supported`);
}

/** Throws FormatError where a config says something else of a size than follows from its others. */
export function mustBe(key: string, value: number | null | undefined, wanted: number, whose: string): void {
  if (value !== undefined && value !== null && value !== wanted)
    throw new FormatError(`${key}: got ${value}, expected ${wanted} (${whose}); other values are not supported`);
}
