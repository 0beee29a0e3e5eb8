import { z } from "zod";
import { type Config, count, limits, refuse, wantedBy } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { mark } from "./ledger.ts";

/** From 0 to `max`. */
const some = (max: number) => z.number().int().min(0).max(max);
/** One for all layers, or one for each. */
const perLayer = (one: z.ZodType<number>) =>
  z.union([
    one,
    z
      .array(one)
      .min(1)
      .max(2 * limits.layers),
  ]);
const names = z.array(z.string().max(80)).max(2 * limits.layers);
const indices = z.array(some(2 * limits.layers)).max(2 * limits.layers);
const tokens = count(2 ** 40);

/** The keys that decide about costs, under the names most configs use. All else in a config is left alone. */
const keys = {
  vocab_size: count(limits.vocabulary),
  hidden_size: count(limits.width),
  num_hidden_layers: count(limits.layers),
  num_attention_heads: perLayer(some(limits.heads)).nullish(),
  num_key_value_heads: perLayer(some(limits.heads)).nullish(),
  head_dim: count(limits.width).nullish(),
  v_head_dim: count(limits.width).nullish(),
  intermediate_size: perLayer(some(limits.width * 8)).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  max_position_embeddings: tokens.nullish(),
  num_nextn_predict_layers: some(limits.layers).nullish(),
  rms_norm_eps: z.number().min(0).max(1).nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  use_qk_norm: z.boolean().nullish(),
  // Windows, and which layers have one.
  sliding_window: some(2 ** 40).nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: some(2 ** 31).nullish(),
  sliding_window_pattern: z.union([count(limits.layers), z.string().regex(/^[LG]{1,99}$/)]).nullish(),
  layer_types: names.nullish(),
  attention_chunk_size: tokens.nullish(),
  no_rope_layers: z
    .array(some(1))
    .max(2 * limits.layers)
    .nullish(),
  // Latents.
  q_lora_rank: some(limits.width).nullish(),
  kv_lora_rank: count(limits.width).nullish(),
  qk_nope_head_dim: count(limits.width).nullish(),
  qk_rope_head_dim: some(limits.width).nullish(),
  qk_head_dim: count(limits.width).nullish(),
  index_n_heads: count(limits.heads).nullish(),
  index_head_dim: count(limits.width).nullish(),
  index_topk: count(2 ** 31).nullish(),
  // Experts, and which layers have them.
  num_experts: perLayer(some(limits.experts)).nullish(),
  num_experts_per_tok: perLayer(some(limits.experts)).nullish(),
  moe_intermediate_size: perLayer(some(limits.width * 8)).nullish(),
  n_shared_experts: perLayer(some(limits.experts)).nullish(),
  shared_expert_intermediate_size: some(limits.width * 8).nullish(),
  router_correction: z.boolean().nullish(),
  first_k_dense_replace: some(2 ** 31).nullish(),
  moe_layer_freq: z.union([count(2 ** 31), z.array(some(1)).max(2 * limits.layers)]).nullish(),
  mlp_layer_types: names.nullish(),
  decoder_sparse_step: some(limits.layers).nullish(),
  mlp_only_layers: indices.nullish(),
  moe_layers: indices.nullish(),
} as const;
export type Settings = z.infer<z.ZodObject<typeof keys>>;
/** Keys that every config must have. */
const required: ReadonlySet<string> = new Set(["vocab_size", "hidden_size", "num_hidden_layers"] satisfies Key[]);
type Key = keyof Settings;

/** Other names of the same, the first that a config has counts. */
const synonyms: Partial<Record<Key, readonly string[]>> = {
  hidden_size: ["n_embd", "n_embed", "d_model", "model_dim"],
  num_hidden_layers: ["n_layer", "num_layers", "n_layers"],
  num_attention_heads: ["n_head", "n_heads"],
  num_key_value_heads: ["num_kv_heads", "kv_n_heads", "num_attention_groups", "multi_query_group_num"],
  head_dim: ["attention_head_dim", "kv_channels"],
  intermediate_size: ["ffn_dim", "n_inner", "ffn_hidden_size", "ffn_intermediate_size"],
  max_position_embeddings: ["n_positions", "max_seq_len", "seq_length", "n_ctx", "max_sequence_length"],
  num_nextn_predict_layers: ["mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules", "mtp_num_layers"],
  // What transformers made layer_types of stays beside them.
  sliding_window_pattern: ["_sliding_window_pattern"],
  attention_bias: ["qkv_bias", "use_qkv_bias", "add_qkv_bias", "use_bias", "bias"],
  mlp_bias: ["use_bias"],
  use_qk_norm: ["qk_layernorm", "use_qk_layernorm"],
  num_experts: ["n_routed_experts", "num_local_experts", "moe_num_experts", "num_routed_experts"],
  num_experts_per_tok: ["num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts"],
  moe_intermediate_size: ["expert_ffn_hidden_size", "expert_intermediate_size", "moe_ffn_hidden_size"],
  n_shared_experts: ["num_shared_experts", "moe_num_shared_experts", "num_shared_expert"],
  shared_expert_intermediate_size: [
    "shared_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "share_expert_dim",
  ],
  router_correction: ["moe_router_enable_expert_bias", "use_routing_bias"],
  first_k_dense_replace: ["moe_layer_start_index"],
  decoder_sparse_step: ["interleave_moe_layer_step", "moe_layer_interval"],
};

const order = Object.keys(keys) as Key[];
const allNames = Object.fromEntries(order.map((key) => [key, [key, ...(synonyms[key] ?? [])]])) as unknown as Readonly<
  Record<Key, readonly string[]>
>;

/** The names under which a key may stand. */
export const namesOf = (key: keyof Settings): readonly string[] => allNames[key];

/** What a name says: keys by their place in the order, and the name's rank among those of the key. */
const sayings = Map.groupBy(
  order.flatMap((key, at) => namesOf(key).map((name, rank) => ({ name, at, rank }))),
  ({ name }) => name,
);

/**
 * The names under which a config has each key, in their order: the first that has a value, else the first that has null. A config has
 * fewer keys than there are names.
 */
function namesIn(config: Config): (string | undefined)[] {
  const names: (string | undefined)[] = order.map(() => undefined);
  const ranks = order.map(() => Number.POSITIVE_INFINITY);
  for (const name of Object.keys(config)) {
    const value = config[name];
    if (value === undefined) continue;
    for (const { at, rank } of sayings.get(name) ?? []) {
      const behind = value === null ? rank + NULLS : rank;
      if (behind < ranks[at]!) [names[at], ranks[at]] = [name, behind];
    }
  }
  return names;
}

/** Names with null stand behind all others. */
const NULLS = 1000;

/** The bounds of each key that may be a whole number, as its schema has them. */
const bounds = order.map((key) => {
  let schema: z.ZodType = keys[key];
  while (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) schema = schema.unwrap() as z.ZodType;
  const number = schema instanceof z.ZodUnion ? schema.options.find((one) => one instanceof z.ZodNumber) : schema;
  return number instanceof z.ZodNumber && number.isInt
    ? ([number.minValue ?? 0, number.maxValue ?? 0] as const)
    : undefined;
});

/** Whether a value is a whole number within its key's bounds, as most are: no more has to be checked of it. */
function isPlain(value: unknown, at: number): boolean {
  const of = bounds[at];
  return of !== undefined && Number.isSafeInteger(value) && (value as number) >= of[0] && (value as number) <= of[1];
}

/**
 * What decides about costs in a config. `defaults` stand where it has nothing.
 *
 * Errors: FormatError naming the config's own key for one that is missing, no whole number or beyond all bounds.
 */
export function settingsOf(config: Config, defaults: Config = {}): Settings {
  const values: Record<string, unknown> = {};
  const said = namesIn(config);
  for (const [at, key] of order.entries()) {
    const name = said[at];
    const own = name === undefined ? undefined : config[name];
    const value = own ?? defaults[key] ?? own;
    if (isPlain(value, at)) {
      values[key] = value;
      continue;
    }
    // Of fifty keys a config has some fifteen: what is not there is checked where it has to be.
    const result = value === undefined && !required.has(key) ? undefined : keys[key].safeParse(value);
    if (result?.success === false) throw refuse(name ?? key, value, wantedBy(result.error.issues[0]!));
    values[key] = result?.data;
  }
  return watch(values as Settings, config);
}

/** What settings are of: the values, and the config whose keys are marked as they are asked for. */
interface Watched {
  readonly values: Settings;
  readonly config: Config;
  /** 1 for each key that was asked for. */
  readonly asked: Uint8Array;
}
const source = Symbol("values and config of settings");

/** Settings by key, each of which marks the config's key as read, whichever name the config has it under, when it is first asked for. */
const watched: object = Object.create(
  null,
  Object.fromEntries(
    order.map((key, at) => {
      const names = namesOf(key);
      const get = function (this: { readonly [source]: Watched }) {
        const { values, config, asked } = this[source];
        if (!asked[at]) {
          asked[at] = 1;
          mark(config, names);
        }
        return values[key];
      };
      return [key, { get, enumerable: true }];
    }),
  ),
);

const watch = (values: Settings, config: Config): Settings =>
  Object.create(watched, {
    [source]: { value: { values, config, asked: new Uint8Array(order.length) } satisfies Watched },
  }) as Settings;

/** Settings with some others in place of a config's own. What is not asked for stays unread, which it would not in a copy. */
export function change(s: Settings, others: Partial<Settings>): Settings {
  const changed = Object.create(s) as Settings;
  for (const [key, value] of Object.entries(others)) Object.defineProperty(changed, key, { value, enumerable: true });
  return changed;
}

/** Settings that a reader knows to say nothing beside others, which it has read. */
export function settle(s: Settings, ...names: readonly Key[]): void {
  for (const key of names) void s[key];
}

/** What was read of a config before: each layer asks again. */
const known = new WeakMap<Config, Map<z.ZodObject, unknown>>();

const namesBySchema = new WeakMap<z.ZodObject, readonly string[]>();

/** The names of a schema's keys, and of those within objects. */
function shapeNames(schema: z.ZodObject): readonly string[] {
  const found = namesBySchema.get(schema) ?? listNames(schema, "");
  namesBySchema.set(schema, found);
  return found;
}

function listNames(schema: z.ZodObject, before: string): string[] {
  return Object.entries(schema.shape).flatMap(([key, inner]) => {
    let own: unknown = inner;
    while (own instanceof z.ZodOptional || own instanceof z.ZodNullable || own instanceof z.ZodDefault)
      own = own.unwrap();
    return [before + key, ...(own instanceof z.ZodObject ? listNames(own, `${before}${key}.`) : [])];
  });
}

/** Further keys that one architecture alone has; others beside them are left alone. Throws FormatError naming the key. */
export function readKeys<T>(config: Config, schema: z.ZodType<T> & z.ZodObject): T {
  const before = known.get(config)?.get(schema);
  if (before) return before as T;
  const result = schema.safeParse(config);
  if (result.success) {
    mark(config, shapeNames(schema));
    if (!known.has(config)) known.set(config, new Map());
    known.get(config)!.set(schema, result.data);
    return result.data as T;
  }
  const issue = result.error.issues[0]!;
  const value = issue.path.reduce<unknown>((found, key) => (found as Record<PropertyKey, unknown>)?.[key], config);
  throw refuse(issue.path.join(".") || "config", value, wantedBy(issue));
}

/** A key that must be there. Throws FormatError. */
export function need<K extends Key>(s: Settings, key: K): NonNullable<Settings[K]> {
  const value = s[key];
  if (value === undefined || value === null)
    throw new FormatError(
      `${key}: got nothing, expected a number${namesOf(key).length > 1 ? ` (also read: ${namesOf(key).slice(1).join(", ")})` : ""}; add it to the config`,
    );
  return value;
}

/** What holds for layer i. Throws FormatError where a list is too short. */
export function at<T>(value: T | readonly T[], i: number, key: Key): T {
  if (!Array.isArray(value)) return value as T;
  const list = value as readonly T[];
  if (i >= list.length)
    throw new FormatError(
      `${key}: got ${list.length} entries, expected one for each layer, ${i + 1} or more; correct the config`,
    );
  return list[i]!;
}

/** A number for layer i that must be there and at least 1. */
export function sizeAt(
  s: Settings,
  key: "num_attention_heads" | "intermediate_size" | "moe_intermediate_size" | "num_experts_per_tok",
  i: number,
): number {
  const value: number = at<number>(need(s, key), i, key);
  if (value < 1) throw new FormatError(`${key}: got 0, expected at least 1; correct the config`);
  return value;
}
