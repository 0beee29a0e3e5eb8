import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { gdn } from "../../attention/variant/gdn.ts";
import { kda } from "../../attention/variant/kda.ts";
import type { Feed } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { deltaAttention, taps } from "../../family/hybrid.ts";
import { FormatError } from "../../tensor/error.ts";
import { feedAt, isSparse, mixture } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { latentAt } from "./latent.ts";
import { change, readKeys, type Settings, sizeAt } from "./settings.ts";
import { kindAt } from "./window.ts";

// Models that mix layers with a state of fixed size and layers with a cache.

const width = count(limits.width);
const heads = count(limits.heads);

const deltaSchema = z.object({
  linear_num_key_heads: heads,
  linear_num_value_heads: heads,
  linear_key_head_dim: width,
  linear_value_head_dim: width,
  linear_conv_kernel_dim: taps.default(4),
  full_attention_interval: count(limits.layers).nullish(),
  attn_output_gate: z.boolean().nullish(),
});

/** A layer of Qwen3-Next or Qwen3.5: gated delta net, and every fourth grouped attention with a gate on its output. */
export function deltaAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, deltaSchema);
  const interval = keys.full_attention_interval ?? 4;
  const linear = s.layer_types
    ? kindAt(s, i, "linear_attention", "full_attention") === "linear_attention"
    : (i + 1) % interval !== 0;
  if (linear) return gatedDeltaAt(s, config);
  const { gate: _, ...ungated } = traits;
  return groupedAt(change(s, { layer_types: null }), i, keys.attn_output_gate === false ? ungated : traits);
}

// Whether the delta rule's step goes up to 2, which changes no size.
const stepSchema = z.object({ linear_allow_neg_eigval: z.boolean().nullish() });

/** A layer of OLMo Hybrid: gated delta net, and every fourth grouped heads without positions. */
export function olmoAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  readKeys(config, stepSchema);
  return deltaAt(s, i, traits, config);
}

/** A layer of gated delta net at a config's `linear_*` sizes. */
export function gatedDeltaAt(s: Settings, config: Config): Attending {
  const keys = readKeys(config, deltaSchema);
  const { linear_key_head_dim: n, linear_value_head_dim: v, linear_num_value_heads: h } = keys;
  const g = keys.linear_num_key_heads;
  if (h % g)
    throw new FormatError(
      `linear_num_value_heads: got ${h}, expected a multiple of the ${g} heads of keys; correct the config`,
    );
  const sizes = { h, g, n, e: n, v, w: keys.linear_conv_kernel_dim };
  return { attention: { variant: gdn, sizes: { d: s.hidden_size, r: 0, c: 0, q: 0, o: 0, ...sizes } } };
}

/** KDA of Kimi K3: the output's gate is one matrix instead of a bottleneck. */
const fullGateKda: Costed = {
  ...kda,
  name: "KDA-fullgate",
  params: (z) => ({ ...kda.params(z), wDG: undefined, wUG: undefined, wG: "d h v" }),
  forms: Object.fromEntries(
    Object.entries(kda.forms).map(([name, form]) => {
      const saved = (z: Sizes) => 2 * (z.d * z.h * z.v - z.c * (z.d + z.h * z.v));
      const cost = (z: Sizes) => ({ ...form.cost(z), token: form.cost(z).token + saved(z) });
      return [name, { ...form, cost }];
    }),
  ),
};

const layerNumbers = z.array(count(limits.layers)).max(limits.layers);
const linearShape = {
  num_heads: heads,
  head_dim: width,
  short_conv_kernel_size: taps.default(4),
  use_full_rank_gate: z.boolean().nullish(),
};
const moonshotSchema = z.object({ linear_attn_config: z.object(linearShape) });
const kimiSchema = z.object({
  linear_attn_config: z.object({
    kda_layers: layerNumbers,
    full_attn_layers: layerNumbers.nullish(),
    ...linearShape,
  }),
  mla_use_output_gate: z.boolean().nullish(),
  attn_res_block_size: count(limits.layers).nullish(),
  routed_expert_hidden_size: width.nullish(),
  latent_moe_use_norm: z.boolean().nullish(),
});

/** A layer of Kimi Linear or Kimi K3: KDA, or MLA without rotation. Lists of layers count from 1. */
export function kimiAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, kimiSchema);
  const { kda_layers: kdas, full_attn_layers: full } = keys.linear_attn_config;
  if (full && kdas.includes(i + 1) === full.includes(i + 1))
    throw new FormatError(
      `linear_attn_config: got layer ${i + 1} in ${full.includes(i + 1) ? "both" : "none"} of kda_layers and full_attn_layers, expected it in one; correct the config`,
    );
  // With residuals over blocks of layers each half has a norm and a projection to a score.
  const extra = keys.attn_res_block_size ? 4 * s.hidden_size : 0;
  if (!kdas.includes(i + 1))
    return {
      ...latentAt(change(s, { layer_types: null }), i, keys.mla_use_output_gate ? { ...traits, gate: true } : traits),
      extra,
    };
  return { ...moonshotAt(s, config), extra };
}

/** A layer of KDA at the sizes of `linear_attn_config`. */
export function moonshotAt(s: Settings, config: Config): Attending {
  const { num_heads: h, head_dim: n, ...linear } = readKeys(config, moonshotSchema).linear_attn_config;
  const { sizes } = deltaAttention({
    d: s.hidden_size,
    h,
    n,
    c: n,
    w: linear.short_conv_kernel_size,
    eps: s.rms_norm_eps ?? 1e-6,
  });
  return { attention: { variant: linear.use_full_rank_gate ? fullGateKda : kda, sizes } };
}

/** Experts of Kimi K3 work in a space of their own, `routed_expert_hidden_size` wide; Kimi Linear's are DeepSeek's. */
export function kimiFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  const { routed_expert_hidden_size: inner, latent_moe_use_norm: norm } = readKeys(config, kimiSchema);
  const plain = feedAt(s, i, traits);
  if (!inner || !isSparse(s, i)) return plain;
  const [d, f] = [s.hidden_size, sizeAt(s, "moe_intermediate_size", i)];
  const { experts, chosen } = plain;
  const own = mixture({ d: inner, f }, { experts, chosen, shared: 0 });
  const between = 2 * d * inner;
  return {
    ...own,
    always: plain.always + between + (norm ? inner : 0),
    flops: plain.flops - chosen * 6 * (d - inner) * f + 2 * between,
  };
}
