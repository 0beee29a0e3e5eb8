import { z } from "zod";
import { type Config, count, limits, refuse } from "../../family/config.ts";
import { taps } from "../../family/hybrid.ts";
import { isFull, third } from "../../family/ling.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { mark } from "./ledger.ts";
import { readKeys } from "./settings.ts";

// Configs as transformers 5 writes them. It gives every architecture the same words (layer_types, linear_*, per_layer_config) where
// publishers' files have their own, and a model that it saves has only those. They are put into the publishers' words here.

const kinds = z.array(z.string().max(80)).max(2 * limits.layers);

/** The kinds of layers; undefined where a config has none. */
function kindsOf(config: Config): readonly string[] | undefined {
  const value = config.layer_types;
  if (value === undefined || value === null) return undefined;
  const list = kinds.safeParse(value);
  if (!list.success) throw refuse("layer_types", value, "expected a list of kinds of layers");
  return list.data;
}

/** Throws FormatError for a kind of layer that is none of these. */
function only(types: readonly string[], ...known: readonly string[]): void {
  const other = types.find((type) => !known.includes(type));
  if (other !== undefined)
    throw new FormatError(
      `layer_types: got ${formatJson(other)}, expected ${known.join(" or ")}; this architecture has no other`,
    );
}

const linearSchema = z.object({
  linear_num_heads: count(limits.heads),
  linear_head_dim: count(limits.width),
  linear_conv_kernel_dim: taps.default(4),
});

const numbers = (types: readonly string[], kind: string) => types.flatMap((type, i) => (type === kind ? [i + 1] : []));

/** Kimi Linear: the sizes of linear layers, and which layers they are, in an object of their own. */
export function kimi(config: Config): Config {
  const types = kindsOf(config);
  if (!types) return config;
  only(types, "linear_attention", "full_attention");
  const own = config.linear_attn_config as Config | null | undefined;
  // A file that was loaded and saved has both.
  if ((own ?? null) !== null) {
    const both = {
      linear_num_heads: own!.num_heads,
      linear_head_dim: own!.head_dim,
      linear_conv_kernel_dim: own!.short_conv_kernel_size,
    };
    const agree =
      formatJson(own!.kda_layers) === formatJson(numbers(types, "linear_attention")) &&
      Object.entries(both).every(([key, value]) => config[key] === undefined || config[key] === value);
    return agree ? without(config, "layer_types", ...Object.keys(both)) : config;
  }
  const { linear_num_heads, linear_head_dim, linear_conv_kernel_dim } = readKeys(config, linearSchema);
  return {
    ...without(config, "layer_types", "linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim"),
    linear_attn_config: {
      kda_layers: numbers(types, "linear_attention"),
      full_attn_layers: numbers(types, "full_attention"),
      num_heads: linear_num_heads,
      head_dim: linear_head_dim,
      short_conv_kernel_size: linear_conv_kernel_dim,
    },
  };
}

/** Ling 3: `head_dim` is that of the linear layers, and the last layer of each group sees everything. */
export function ling(config: Config): Config {
  const types = (config.linear_head_dim ?? null) === null ? undefined : kindsOf(config);
  if (!types) return config;
  only(types, "linear_attention", "full_attention");
  const linear = readKeys(config, linearSchema);
  const size = config.layer_group_size;
  const isLast = (i: number) => isFull(i, types.length, typeof size === "number" ? size : 1);
  if (types.some((type, i) => (type === "full_attention") !== isLast(i)))
    throw new FormatError(
      `layer_types: got layers that see everything elsewhere than layer_group_size ${clip(size)} says, expected the last of each group; correct the config`,
    );
  same(config, "linear_num_heads", "num_attention_heads");
  same(config, "short_conv_kernel_size", "linear_conv_kernel_dim");
  mark(config, ["layer_types"]);
  return {
    ...without(config, "layer_types"),
    architectures: [third],
    head_dim: linear.linear_head_dim,
    short_conv_kernel_size: linear.linear_conv_kernel_dim,
  };
}

/** Throws FormatError where a key has not the value of another that says the same. */
function same(config: Config, key: string, other: string): void {
  const value = config[key] ?? null;
  if (value !== null && value !== config[other]) throw refuse(key, value, `expected ${other}, ${clip(config[other])}`);
}

const clip = (value: unknown) => (formatJson(value) ?? "nothing").slice(0, 60);

/** MiMo-V2-Flash: layers with a window have sinks and twice as many key and value heads (modeling_mimo_v2_flash.py). */
export function mimo(config: Config): Config {
  const types = kindsOf(config);
  // A window's length stands under three names in the publisher's file; transformers counts the token itself too.
  const { sliding_window: window } = config;
  const twice = ["sliding_window_size", "attention_chunk_size"].filter(
    (key) => config[key] === window || (types !== undefined && Number(config[key]) + 1 === window),
  );
  if (!types) return without(config, ...twice);
  only(types, "sliding_attention", "full_attention");
  const pattern = types.map((type) => Number(type === "sliding_attention"));
  const own = config.hybrid_layer_pattern;
  if ((own ?? null) !== null) {
    if (formatJson(own) !== formatJson(pattern))
      throw refuse("layer_types", types, "expected what hybrid_layer_pattern says");
    return without(config, "layer_types", ...twice);
  }
  const groups = config.num_key_value_heads;
  return {
    ...without(config, "layer_types", ...twice),
    hybrid_layer_pattern: pattern,
    swa_num_key_value_heads: typeof groups === "number" ? 2 * groups : null,
    add_swa_attention_sink_bias: true,
  };
}

const overrides = z.record(
  z.string().regex(/^\d{1,4}$/),
  z.strictObject({ head_dim: z.number().nullish(), num_key_value_heads: z.number().nullish() }),
);

/** Gemma 4: what layers that see everything have otherwise, said of each of them. */
export function gemma4(config: Config): Config {
  const found = config.per_layer_config;
  if (found === undefined || found === null) return config;
  const parsed = overrides.safeParse(found);
  const types = kinds.safeParse(config.layer_types);
  const wanted = "expected head_dim and num_key_value_heads of every layer that sees everything, the same in all";
  if (!parsed.success || !types.success) throw refuse("per_layer_config", found, wanted);
  const given = new Map(Object.entries(parsed.data).map(([key, value]) => [Number(key), value]));
  const [first] = given.values();
  const alike = [...given.values()].every((value) => formatJson(value) === formatJson(first));
  if (!alike || types.data.some((type, i) => given.has(i) !== (type === "full_attention")))
    throw refuse("per_layer_config", found, wanted);
  return {
    ...without(config, "per_layer_config"),
    global_head_dim: first?.head_dim,
    num_global_key_value_heads: first?.num_key_value_heads,
  };
}

/** DeepSeek-V3.2 and GLM-5: every layer has the attention that the architecture has. */
export function indexed(config: Config): Config {
  const types = kindsOf(config);
  const all = types?.every((type) => type === "indexed_attention" || type === "deepseek_sparse_attention");
  return all ? without(config, "layer_types") : config;
}

/** The config with keys that say what is said otherwise as if they were not there. */
function without(config: Config, ...keys: readonly string[]): Config {
  return { ...config, ...Object.fromEntries(keys.map((key) => [key, null])) };
}
