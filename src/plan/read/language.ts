import type { Config } from "../../family/config.ts";
import { formatJson } from "../../tensor/json.ts";

/** Where configs of several modalities have the language model. */
const inner = ["text_config", "llm_config", "language_config", "thinker_config"] as const;

/** Configs within configs are looked into as far as this. */
const DEPTH = 3;

/** The part of a config that describes the language model, and what was decided to find it. */
export interface Language {
  readonly text: Config;
  readonly notes: readonly string[];
}

/**
 * The part of a config that describes the language model, with a `model_type`. Where levels disagree about tied embeddings the outer
 * one counts. A config without `model_type` is what its `architectures` name, where this is one of `known` and no other.
 */
export function languageModel(config: Config, known: readonly string[]): Language {
  const notes: string[] = [];
  const text = within(config, notes, 0);
  if (text.model_type !== undefined && text.model_type !== null) return { text, notes };
  const classes = [text.architectures, config.architectures].find(Array.isArray) ?? [];
  const kinds = new Set(classes.flatMap((name) => known.filter((type) => isOf(type, String(name)))));
  if (kinds.size !== 1) return { text, notes };
  const [type] = kinds;
  notes.push(`the config has no model_type: architectures ${formatJson(classes).slice(0, 80)} say ${type}`);
  return { text: { ...text, model_type: type }, notes };
}

function within(config: Config, notes: string[], depth: number): Config {
  const key = inner.find((key) => typeof config[key] === "object" && config[key] !== null);
  if (key === undefined || Array.isArray(config[key]) || depth === DEPTH) return config;
  const part = { ...furtherLayers(config), ...within(config[key] as Config, notes, depth + 1) };
  const { model_type, tie_word_embeddings: outer } = config;
  const tied = part.tie_word_embeddings;
  if (typeof outer !== "boolean") return { model_type, tie_word_embeddings: outer, ...part };
  if (typeof tied === "boolean" && tied !== outer)
    notes.push(
      `tie_word_embeddings is ${outer} in the config and ${tied} in its ${key}: the outer one counts, as in transformers 5 (4 took the inner one)`,
    );
  return { model_type, ...part, tie_word_embeddings: outer };
}

/** Inkling has the keys of layers that propose tokens beside the language model's. */
function furtherLayers({ mtp_config: further }: Config): Config {
  if (typeof further !== "object" || further === null) return {};
  const { num_nextn_predict_layers, local_layer_ids } = further as Config;
  return { num_mtp_layers: num_nextn_predict_layers, mtp_local_layer_ids: local_layer_ids };
}

/** Classes that are called otherwise than their model_type: what LongCat-Flash-Lite-Sparse and dense kin of it are published under. */
const named: Readonly<Record<string, string>> = { LongcatCausalLM: "longcat_flash_sparse" };

/** Whether a class such as DeepseekV3ForCausalLM is that of a model_type such as deepseek_v3. */
function isOf(type: string, name: string): boolean {
  if (Object.hasOwn(named, name)) return named[name] === type;
  const own = name.replace(/(ForCausalLM|LMHeadModel|ForConditionalGeneration|Model)$/, "").toLowerCase();
  return own === type.replace(/_text$/, "").replaceAll("_", "");
}
