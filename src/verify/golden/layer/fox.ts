import { z } from "zod";
import type { Feature, Sizes } from "../../../attention/define.ts";
import { fox } from "../../../attention/variant/fox.ts";
import { type Config, count, limits } from "../../../family/config.ts";
import { linear, vector } from "../../../family/source.ts";
import type { TensorReader } from "../../../file/safetensors.ts";
import { rotation } from "../../../ops/rope/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { checkAgrees, readCaseConfig, Unsupported } from "../case.ts";
import { type LayerFamily, matrixOf, rearrange, refuseKey, shareOf, swapAxes } from "./family.ts";

const flag = z.boolean().optional();
const schema = z.object({
  hidden_size: count(limits.width).optional(),
  num_heads: count(limits.heads),
  num_kv_heads: count(limits.heads).nullish(),
  head_dim: count(limits.width).optional(),
  // Fixed in both codes: no other value was ever run.
  qk_norm_eps: z.literal(1e-5).optional(),
  output_norm_eps: z.number().positive().max(1).optional(),
  norm_eps: z.number().positive().max(1).optional(),
  use_k_shift: flag,
  use_v_shift: flag,
  qk_norm: flag,
  qk_norm_share_param_across_head: flag,
  use_output_gate: flag,
  use_output_norm: flag,
  qkv_bias: flag,
  fgate_type: z.literal("full").optional(),
  fgate_bias_init: z.literal(false).optional(),
  use_rope: flag,
  rope_base: z.number().optional(),
  max_position_embeddings: z.number().nullish(),
  // Pruning leaves out what cannot be seen in the result.
  log_pruning_tolerance: z.number().nullish(),
  window_size: z.number().nullish(),
  softmax_scale: z.number().optional(),
});

/** The Forgetting Transformer's layer by its authors (fgate_proj), and as flash-linear-attention has it (f_proj). */
export const foxLayers: LayerFamily = {
  knows: (has) => has("fgate_proj.weight") || (has("f_proj.weight") && !has("A_log")),
  read(raw, given) {
    const activations = Object.keys(raw).filter((key) => /(^|_)act(ivation)?(_|$)/.test(key));
    const config = readCaseConfig(
      Object.fromEntries(Object.entries(raw).filter(([key]) => !activations.includes(key))),
      schema,
    );
    refuseKey(raw, "use_rope");
    // flash-linear-attention's layer takes a window and never hands it on; its authors' layer has none.
    if (given.has("fgate_proj.weight")) refuseKey(raw, "window_size");
    const found = find(given, config.num_heads, activationOf(raw, activations));
    checkAgreement(config, found);
    const { h, g, e, v, biased, features } = found;
    const sizes: Sizes = {
      d: found.d,
      h,
      g,
      n: e,
      r: 0,
      e,
      v,
      c: 0,
      q: 0,
      o: 0,
      eps: config.output_norm_eps ?? config.norm_eps ?? 1e-6,
      with: Object.fromEntries(Object.entries(features).filter(([, on]) => on)) as Sizes["with"] & object,
      bias: !biased ? undefined : given.has("o_proj.bias") ? "all" : "inputs",
    };
    return {
      attention: {
        variant: fox,
        sizes,
        rotation: rotation(0),
        scale: config.softmax_scale,
      },
      weights: rearrange(given, {
        ...repeatGains(given, "q_norm.weight", h, e),
        ...repeatGains(given, "k_norm.weight", g, e),
      }),
      sources: sourcesOf(found, sizes),
      // The files have heads before tokens.
      async cached(cache) {
        const { length } = cache;
        const sums = await cache.read("f");
        return {
          k_cache: { values: swapAxes(await cache.read("k"), [length, g, e]) },
          v_cache: { values: swapAxes(await cache.read("v"), [length, g, v]) },
          log_fgate_cache: { values: swapAxes(differences(sums, h), [length, h]) },
        };
      },
    };
  },
};

/** What the weights of a layer show: sizes, features, and by which names they go. */
interface Found extends Pick<Sizes, "d" | "h" | "g" | "e" | "v"> {
  readonly key: string;
  readonly value: string;
  /** Names of the forget gate, and of the gate on the output. */
  readonly forget: string;
  readonly outer: string;
  readonly normed: boolean;
  readonly gated: boolean;
  readonly biased: boolean;
  readonly features: Partial<Record<Feature, boolean>>;
}

function find(given: TensorReader, h: number, activation: "outputGate" | "siluGate"): Found {
  const authors = given.has("fgate_proj.weight");
  const outer = authors ? "ogate_proj.weight" : "g_proj.weight";
  const innerName = (name: string) => (given.has(`${name}.linear.weight`) ? `${name}.linear` : name);
  const [key, value] = [innerName("k_proj"), innerName("v_proj")];
  const [, d] = matrixOf(given, "q_proj.weight");
  const e = shareOf(given, "q_proj.weight", h);
  const g = shareOf(given, `${key}.weight`, e);
  const v = shareOf(given, `${value}.weight`, g);
  const [normed, gated] = [given.has("q_norm.weight"), given.has(outer)];
  const features = {
    keyShift: key !== "k_proj",
    valueShift: value !== "v_proj",
    qkNorm: normed,
    outputNorm: given.has("output_norm.weight"),
    [activation]: gated,
  };
  const forget = authors ? "fgate_proj" : "f_proj";
  return { d, h, g, e, v, key, value, forget, outer, normed, gated, biased: given.has("q_proj.bias"), features };
}

/** Throws FormatError where the config says otherwise than the weights. */
function checkAgreement(config: z.infer<typeof schema>, { d, e, g, features, normed, gated, biased }: Found): void {
  checkAgrees("hidden_size", config.hidden_size, d);
  checkAgrees("head_dim", config.head_dim, e);
  checkAgrees("num_kv_heads", config.num_kv_heads, g);
  for (const [name, said, found] of [
    ["use_k_shift", config.use_k_shift, features.keyShift],
    ["use_v_shift", config.use_v_shift, features.valueShift],
    ["qk_norm", config.qk_norm, normed],
    ["use_output_gate", config.use_output_gate, gated],
    ["use_output_norm", config.use_output_norm, features.outputNorm],
    ["qkv_bias", config.qkv_bias, biased],
  ] as const)
    if (said !== undefined && said !== found)
      throw new FormatError(`config.json: ${name}: got ${said}, expected ${found} by the weights there are`);
}

/** Where each parameter of the variant lies. */
function sourcesOf(found: Found, { bias }: Sizes): ReturnType<LayerFamily["read"]>["sources"] {
  const { d, h, g, e, v, key, value, forget, outer, normed, gated, biased, features } = found;
  return {
    wQ: linear("q_proj.weight", h * e, d),
    wK: linear(`${key}.weight`, g * e, d),
    wV: linear(`${value}.weight`, g * v, d),
    ...(biased && {
      bQ: vector("q_proj.bias", h * e),
      bK: vector(`${key}.bias`, g * e),
      bV: vector(`${value}.bias`, g * v),
    }),
    ...(bias === "all" && { bO: vector("o_proj.bias", d) }),
    ...(features.keyShift && { wSK: linear("k_proj.shift_proj.weight", g, d) }),
    ...(features.valueShift && { wSV: linear("v_proj.shift_proj.weight", g, d) }),
    ...(normed && { gQ: vector("q_norm.weight", h * e), gK: vector("k_norm.weight", g * e) }),
    wF: linear(`${forget}.weight`, h, d),
    bF: vector(`${forget}.bias`, h),
    ...(gated && { wG: linear(outer, h * v, d) }),
    ...(features.outputNorm && { gO: vector("output_norm.weight", h * v) }),
    wO: linear("o_proj.weight", d, h * v),
  };
}

/** The feature that the gate on the output is, by whatever key names its activation; sigmoid unless said. */
function activationOf(config: Config, keys: readonly string[]): "outputGate" | "siluGate" {
  const names = keys.map((key) => config[key]).filter((name) => name !== null && name !== undefined);
  const odd = names.find((name) => !/^(silu|swish|sigmoid)$/.test(String(name)));
  if (odd !== undefined) throw new Unsupported(`an output gate through ${JSON.stringify(odd)} is not supported`);
  return names.some((name) => name !== "sigmoid") ? "siluGate" : "outputGate";
}

/** A norm's gains `[e]` that all heads share, once for each of them. */
function repeatGains(weights: TensorReader, name: string, heads: number, e: number) {
  if (!weights.has(name) || weights.entry(name).shape[0] !== e || heads === 1) return {};
  const of = (values: ArrayLike<number>) => Float64Array.from({ length: heads * e }, (_, i) => values[i % e]!);
  return { [name]: { shape: [heads * e], of } };
}

/** What each row of running sums `[t, width]` adds to the one before. */
function differences(sums: ArrayLike<number>, width: number): Float64Array {
  return Float64Array.from({ length: sums.length }, (_, i) => sums[i]! - (i < width ? 0 : sums[i - width]!));
}
