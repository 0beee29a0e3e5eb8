import { z } from "zod";
import { type Config, count, limits } from "../../family/config.ts";
import { step3 } from "./rename.ts";
import { readKeys } from "./settings.ts";

// Configs that say which layers are of what kind by a rule. Values are checked afterwards.

const layersOf = ({ num_hidden_layers: layers }: Config) => (typeof layers === "number" ? layers : Number.NaN);

/** Kinds of layers, where a config does not list them. */
function listed(config: Config, key: string, kind: (i: number, layers: number) => string): Config {
  const layers = layersOf(config);
  if ((config[key] ?? null) !== null || !(layers > 0 && layers < 10_000)) return config;
  return { ...config, [key]: Array.from({ length: layers }, (_, i) => kind(i, layers)) };
}

/** The first layer alone is dense where a config does not say which are. */
export function firstDense(config: Config): Config {
  if (config.first_k_dense_replace !== undefined) return config;
  return listed(config, "mlp_layer_types", (i) => (i ? "sparse" : "dense"));
}

const everySchema = z.object({
  global_attn_every_n_layers: count(limits.layers).nullish(),
  num_dense_layers: z.number().int().min(0).max(limits.layers).nullish(),
});

/** Trinity (AFMoE): one in so many layers sees everything, and the first are dense. */
export function afmoe(config: Config): Config {
  const { global_attn_every_n_layers: every, num_dense_layers: first } = readKeys(config, everySchema);
  const n = every ?? 4;
  return listed({ ...config, first_k_dense_replace: first ?? 1 }, "layer_types", (i) =>
    (i + 1) % n ? "sliding_attention" : "full_attention",
  );
}

/** The first of each four layers sees everything. */
export const graniteWindows = (config: Config): Config =>
  listed(config, "layer_types", (i) => (i % 4 ? "sliding_attention" : "full_attention"));

/** Every fourth layer sees everything, counted back from the last. */
export const muse = (config: Config): Config =>
  listed(config, "layer_types", (i, layers) => ((layers - 1 - i) % 4 ? "sliding_attention" : "full_attention"));

/** Lists that go on with layers that propose tokens are cut; the first three layers are dense where nothing says which are. */
export function stepFlash(config: Config): Config {
  const named = step3(config);
  const layers = layersOf(named);
  const types = named.layer_types;
  const cut = Array.isArray(types) && layers < types.length ? { layer_types: types.slice(0, layers) } : {};
  const some = ["moe_layers", "mlp_layer_types", "first_k_dense_replace"].some((key) => (named[key] ?? null) !== null);
  return { ...named, ...cut, ...(!some && { first_k_dense_replace: 3 }) };
}

const prefixSchema = z.object({
  first_k_dense_replace: z.number().int().min(0).max(limits.layers).nullish(),
  prefix_dense_sliding_window_pattern: count(limits.layers).nullish(),
  prefix_dense_intermediate_size: count(limits.width * 8).nullish(),
  sliding_window_pattern: count(limits.layers).nullish(),
});

/** Dense layers at the beginning have a pattern of windows and a width of their own. */
export function cohereMixture(config: Config): Config {
  const keys = readKeys(config, prefixSchema);
  const first = keys.first_k_dense_replace ?? 0;
  const [own, every] = [keys.prefix_dense_sliding_window_pattern ?? 1, keys.sliding_window_pattern ?? 4];
  const typed = listed(config, "layer_types", (i) =>
    (i < first ? (i + 1) % own : (i - first + 1) % every) ? "sliding_attention" : "full_attention",
  );
  const wide = keys.prefix_dense_intermediate_size;
  if (!wide) return typed;
  return {
    ...typed,
    moe_intermediate_size: config.moe_intermediate_size ?? config.intermediate_size,
    intermediate_size: wide,
  };
}
