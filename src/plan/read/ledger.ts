import type { Config } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";

// A plan that passes over a key is wrong without a word. So readers leave a mark on every key that they look at, and a key that can
// change caches or attention and has no mark at the end is refused by its name.

/** Carries the marks through copies of a config with other keys; JSON and `Object.keys` do not see it. */
const marks = Symbol("keys that were read");
type Marked = Config & { readonly [marks]?: Set<string> };

/** The config with no key read yet. */
export const track = (config: Config): Config => ({ ...config, [marks]: new Set<string>() }) as Marked;

/** Marks keys as read; those within an object stand behind its name and a dot. */
export function mark(config: Config, keys: Iterable<string>): void {
  const read = (config as Marked)[marks];
  if (read) for (const key of keys) read.add(key);
}

/** Words of keys that can change what is kept, or what a token attends to. */
const deciding =
  /kv|key_value|head_dim|head_size|heads?$|n_head|lora_rank|latent|window|sliding|swa|chunk|local|global|index|compress|pool|layer_types|block_type|block_config|pattern|attn_type|attn_layer|attention_layer|full_att|linear|layer_group|interval|mamba|ssm|conv|state|recurrent|kda|gdn|delta|wkv|retention|share.*(layer|attention|kv)|cla_|cross_layer|source_layer|candidate|sparse|topk_block|block_topk|moba|nsa_|o_groups|engram|ngram|per_layer|ple_|nextn|mtp|dspark|draft|differential|gate$|key_length|value_length|hyper_connection_count|low_rank|gated_att|encoder|decoder_layers|hc_mult|qk_|v_dim|k_eq_v|recurren|cache_(shar|merg|group|layer|budget|len)|yoco|reuse|mirror|evict|memory|hash_layers|routed_layers/;

/** Words of keys that contain one of those and decide nothing of the kind: experts and routers, regularisers, ids, positions, other towers. */
const harmless =
  /token|dropout|init|loss|coef|(^|_)norm(_|$)|eps$|rope(?!_head_dim)|rotary|scal|freq(?!$)|theta|expansion|expert|moe|router|routed|group$|vision|visual|image|video|audio|speech|mm_|vit_|projector|tower|modal|is_encoder|is_decoder|encoder_no_repeat|cross_attention_hidden|chunk_size_feed_forward|softcap|multiplier|clip|bias$|implementation|_act$|activation|dtype|precision|fp32|fp8|quant|cache_implementation|use_cache|parallel|label|gradient|flash|kernel_size_of|fused|pad|version|training|pretrain|a_log_m|_dt_m|memory_efficient|low_memory|memory_fraction/;

/** Keys of real configs that contain a word that decides and decide nothing that is counted, each with why. */
const idle: Readonly<Record<string, string>> = {
  use_mtp: "whether layers that propose tokens are there; how many there are is read",
  mtp_transformer_layers: "layers in each module that proposes tokens; those that are not counted are told in a note",
  mtp_loss_scaling_factor: "training",
  mtp_hidden_states_first: "the order in which layers that propose tokens join what they read",
  mtp_share_layers: "weights of layers that propose tokens, which a note tells of",
  index_share_for_mtp_iteration:
    "a layer that proposes several tokens takes one choice for all; what it keeps is the same",
  full_attn_alpha_factor: "a factor of the residual (MiniMax-01)",
  full_attn_beta_factor: "a factor of the residual (MiniMax-01)",
  linear_attn_alpha_factor: "a factor of the residual (MiniMax-01)",
  linear_attn_beta_factor: "a factor of the residual (MiniMax-01)",
};

/** Whether a key can change caches or attention. */
export function decides(key: string): boolean {
  const name = key.toLowerCase();
  if (Object.hasOwn(idle, name)) return false;
  return named.test(name) || (deciding.test(name) && !harmless.test(name));
}

/**
 * Keys that decide although a word in them says otherwise: kernels of convolutions, tokens that every sequence keeps beside its own, and
 * layers that run several times, of which each time has a cache.
 */
const named =
  /^(short_conv_kernel_size|conv_kernel|linear_conv_kernel_dim|mamba_expand)$|(meta|memory|sink|register|summary|gist)_tokens?|sink_size|tokens?_(memory|budget)|ut_steps|(^|_)loops?(_|$)/;

/** Whether a value says that something is not there. In a list of layers' numbers, 0 is the first layer. */
export function isAbsent(key: string, value: unknown): boolean {
  if (Array.isArray(value)) return value.every((one) => (/ids$|layers$/.test(key) ? false : isAbsent(key, one)));
  return value === undefined || value === null || value === false || value === 0 || value === -1 || value === "";
}

/** Keys that decide, are there, and that no reader has looked at; of objects those within. */
export function unread(config: Config): string[] {
  const read = (config as Marked)[marks] ?? new Set();
  return Object.entries(config).flatMap(([key, value]): string[] => {
    if (isAbsent(key, value) || (harmless.test(key) && !named.test(key.toLowerCase()))) return [];
    if (typeof value !== "object" || Array.isArray(value)) return decides(key) && !read.has(key) ? [key] : [];
    const within = Object.entries(value as Config).filter(([name, value]) => decides(name) && !isAbsent(name, value));
    // Of an object that nobody looked at the object itself is the news.
    if (decides(key) && !read.has(key)) return Object.keys(value as Config).length ? [key] : [];
    return within.map(([name]) => `${key}.${name}`).filter((name) => !read.has(name));
  });
}

/** The refusal of keys that no reader has looked at, or that the variant which a user named cannot say. */
export function refuseUnread(
  config: Config,
  keys: readonly string[],
  {
    as,
    names = new Map(),
  }: { readonly as?: string | undefined; readonly names?: ReadonlyMap<string, string> | undefined } = {},
): FormatError {
  const within = (key: string) =>
    key.split(".").reduce<unknown>((found, name) => (found as Config | undefined)?.[name], config);
  const shown = keys.slice(0, 8).map((key) => {
    const value = config[key] ?? within(key);
    const text = ArrayBuffer.isView(value) ? "(a list)" : (formatJson(value) ?? "");
    return `${(names.get(key) ?? key).slice(0, 80)} ${text.length > 60 ? `${text.slice(0, 57)}...` : text}`;
  });
  const got = `${(names.get(keys[0]!) ?? keys[0]!).slice(0, 80)}: got ${shown.join(", ")}${keys.length > shown.length ? " and others" : ""}, expected`;
  const sizes = "name the layers with all their sizes, such as --as MLA:n128:r64:v128:c512";
  return new FormatError(
    as === undefined
      ? `${got} nothing that can change caches or attention and is not known here; ${sizes}, or use a newer version`
      : `${got} nothing that --as ${as.slice(0, 80)}, which takes its sizes from here, cannot say; ${sizes}`,
  );
}
