import { parameterCount, type Variant } from "../../attention/define.ts";
import { checkSizes } from "../../attention/layer.ts";
import { type Blueprint, blueprintOf, checkOwners, countParameters, type LayerKind } from "../../cost/blueprint.ts";
import { biform } from "../../family/biform.ts";
import type { Config } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { type Architecture, architectures } from "./architecture.ts";
import { assistantOf } from "./assistant.ts";
import { namedArchitecture, overrideUnread } from "./choice.ts";
import { headOf } from "./eagle.ts";
import { languageModel } from "./language.ts";
import { track, unread } from "./ledger.ts";
import { shipByConfig } from "./quantised.ts";
import { namesOf, type Settings, settingsOf } from "./settings.ts";
import { nearest } from "./spelling.ts";

/** How a config is read beside what it says. */
export interface Reading {
  /** Names the variant, as a spec or a pattern of specs: for architectures that are not in the table, or to see what if. */
  readonly as?: string | undefined;
  /** Sizes under their keys, where the config has none. */
  readonly given?: Config | undefined;
  /** What the keys are called where they come from, if otherwise. */
  readonly names?: ReadonlyMap<string, string> | undefined;
}

/**
 * The blueprint of a Hugging Face config.json, of every architecture in the table. Encoders of images
 * or sound are not counted.
 *
 * Errors: FormatError naming the key that is missing, out of bounds or at odds with another; ShapeError where sizes do not fit.
 */
export function blueprintOfConfig(config: Config, name: string, reading: Reading = {}): Blueprint {
  const head = headOf(config) ?? assistantOf(config);
  return head ? head.finish(planConfig(head.config, name, reading)) : planConfig(config, name, reading);
}

function planConfig(config: Config, name: string, { as, given }: Reading): Blueprint {
  if (config.model_type === "biform" && as === undefined) return planOwn(config, name);
  const { text, notes } = languageModel(config, Object.keys(architectures));
  const known = architectureOf(text.model_type);
  if (!known && as === undefined) throw unknownError(text);
  const blueprint = assemble(text, as === undefined ? known! : namedArchitecture(as, known), name, { as, given });
  const unheeded = unheededIn(text);
  const assumed = [...notes, ...unheeded, ...(blueprint.assumed ?? [])];
  const classes = [config.architectures, text.architectures].find(Array.isArray)?.slice(0, 8).map(String);
  const whole = text === config ? config : { ...text, ...config };
  return shipByConfig({ ...blueprint, assumed, classes, unheeded }, whole);
}

/** What conversions say beside the keys of the architecture whose name they took. */
function unheededIn(config: Config): string[] {
  return config.qk_latent_layernorm === false
    ? ["qk_latent_layernorm is false: the latent has no norm, and stock classes of this model_type give it one"]
    : [];
}

/** The blueprint of Biform's own format, which says what runs. */
function planOwn(config: Config, name: string): Blueprint {
  const maxContext = Number(biform.read(config).max_position_embeddings ?? 0) || undefined;
  return shipByConfig({ ...blueprintOf(biform.model(config), name, "biform"), maxContext }, config);
}

/** The architecture of a `model_type`, where it is in the table; models that also see are called by their text's. */
export function architectureOf(type: unknown): Architecture | undefined {
  const name = String(type);
  const names = [name, `${name}_text`, `${name.replace(/_vl$/, "")}_text`, name.replace(/_vl$/, "")];
  const key = names.find((name) => Object.hasOwn(architectures, name));
  return key === undefined ? undefined : architectures[key];
}

/** The blueprint of a config whose architecture is known. Errors: as `blueprintOfConfig`. */
export function assemble(
  raw: Config,
  architecture: Architecture,
  name: string,
  { as, given = {}, names }: Reading = {},
): Blueprint {
  const tracked = track(raw);
  const config = architecture.rename?.(tracked) ?? tracked;
  const s = settingsOf(config, { ...given, ...architecture.defaults });
  const { hidden_size: width, vocab_size: vocabulary, num_hidden_layers: count } = s;
  const { norm = 1, norms = 2 } = architecture;
  const layers = Array.from({ length: count }, (_, i): LayerKind => {
    const { attention, extra = 0, ...cached } = architecture.attention(s, i, architecture, config);
    const feed = architecture.feed(s, i, architecture, config);
    return {
      count: 1,
      attention,
      feed,
      extra: (typeof norms === "number" ? norms : norms(config)) * norm * width + extra,
      ...cached,
    };
  });
  const kinds = alike(layers);
  for (const { attention } of kinds) checkSizes(attention.variant, attention.sizes);
  checkOwners(layers);
  const blueprint: Blueprint = {
    name,
    architecture: String(config.model_type ?? "unknown").slice(0, 80),
    vocabulary,
    width,
    tied: s.tie_word_embeddings ?? false,
    layers: kinds,
    extra: norm * width + (architecture.extra?.(s, config) ?? 0),
    maxContext: s.max_position_embeddings || undefined,
    tables: architecture.tables?.(s, config),
    draft: architecture.draft?.(s, layers, config),
    assumed: [...notesOf(s, architecture), ...windowNotes(config, kinds)],
  };
  checkTotals(blueprint);
  return overrideUnread(blueprint, config, unread(config), { as, names });
}

/** What is left open where an architecture's layers that propose further tokens are not known. */
function notesOf(s: Settings, { draft }: Architecture): string[] {
  const further = s.num_nextn_predict_layers ?? 0;
  return further && !draft ? [`${further} layers that predict further tokens are not counted`] : [];
}

/** Models whose classes in transformers 5.24 have no window, whatever a config says; engines differ. */
const windowless = /^(llama|deepseek_v2|deepseek_v3|deepseek_v32|kimi_k2|glm4_moe|glm4_moe_lite)$/;

/** What is open where a config has a window that the class of its model_type has not. */
function windowNotes({ model_type: type }: Config, kinds: readonly LayerKind[]): string[] {
  const window = kinds.find(({ attention }) => attention.window !== undefined)?.attention.window;
  if (window === undefined || !windowless.test(String(type))) return [];
  return [
    `the config has a window of ${window} tokens, and transformers' ${type} has none: layers are counted as keeping no more than that`,
  ];
}

/** Layers that are the same in all, counted. */
function alike(layers: readonly LayerKind[]): LayerKind[] {
  const kinds: { readonly first: LayerKind; count: number }[] = [];
  let last: (typeof kinds)[number] | undefined;
  for (const layer of layers) {
    // Most layers are as the one before.
    const known =
      last && isSame(last.first, layer) ? last : kinds.find((kind) => kind !== last && isSame(kind.first, layer));
    last = known ?? { first: layer, count: 0 };
    last.count++;
    if (!known) kinds.push(last);
  }
  return kinds.map(({ first, count }) => ({ ...first, count }));
}

/** Whether two values are the same all through; a variant is what its name says. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const [one, two] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const key in one) {
    const [mine, its] = [one[key], two[key]];
    if (mine === its) continue;
    const same = key === "variant" ? (mine as Variant).name === (its as Variant).name : isSame(mine, its);
    if (!same) return false;
  }
  for (const key in two) if (two[key] !== undefined && one[key] === undefined) return false;
  return true;
}

/** Throws FormatError where sizes that are each within their bounds have products that numbers cannot hold. */
function checkTotals(blueprint: Blueprint): void {
  const { total } = countParameters(blueprint);
  const flops = blueprint.layers.reduce((sum, { count, feed }) => sum + count * feed.flops, 0);
  const attention = blueprint.layers.map(({ attention: a }) => parameterCount(a.variant, a.sizes));
  if (![total, flops, ...attention].every(Number.isSafeInteger))
    throw new FormatError(
      `config: got ${total.toPrecision(3)} parameters, expected fewer than 2^53; correct the sizes`,
    );
}

/** The keys of which some decide, for an architecture that is not in the table. */
const deciding = [
  "num_attention_heads",
  "num_key_value_heads",
  "head_dim",
  "kv_lora_rank",
  "qk_nope_head_dim",
  "qk_rope_head_dim",
  "v_head_dim",
  "sliding_window",
  "layer_types",
] as const;

function unknownError(config: Config): FormatError {
  const found = deciding.flatMap((key) => {
    const name = namesOf(key).find((name) => config[name] !== undefined && config[name] !== null);
    return name === undefined ? [] : [`${name} ${clip(formatJson(config[name]))}`];
  });
  if (found.length === 0)
    return new FormatError(
      `config: got none of the keys that decide about attention (${deciding.join(", ")}), ` +
        "expected the config.json of a language model; name that file",
    );
  const type = config.model_type;
  const near = typeof type === "string" ? nearest(type, Object.keys(architectures)) : undefined;
  const spec = config.kv_lora_rank === undefined || config.kv_lora_rank === null ? "GQA" : "MLA";
  return new FormatError(
    `model_type: got ${type === undefined ? "nothing" : clip(formatJson(type))}, expected an architecture that is known${near ? ` (the nearest is ${near})` : ""}; ` +
      `what decides is ${deciding.join(", ")}, of which the config has ${found.join(", ")}: name the variant, such as --as ${spec}`,
  );
}

const clip = (text: string) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);
