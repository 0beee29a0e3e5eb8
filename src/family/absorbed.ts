import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, mustBe } from "./config.ts";
import {
  type Architecture,
  decoderConfig,
  type GgufHeader,
  ggufSources,
  readSettings,
  rounded,
  scalingOf,
} from "./gguf.ts";
import { linear, perHead, type Source, vector } from "./source.ts";

/** Settings of MLA that GGUF files of all such architectures have. */
export const latentSettings = {
  "attention.q_lora_rank": z.number().nullish(),
  "attention.kv_lora_rank": z.number(),
};

const settings = {
  ...latentSettings,
  "attention.key_length_mla": z.number().optional(),
  "attention.value_length_mla": z.number().optional(),
  // Files converted for it hold a tenth of DeepSeek's mscale_all_dim.
  "rope.scaling.yarn_log_multiplier": z.number().optional(),
  leading_dense_block_count: z.number().default(0),
  expert_count: z.number().default(0),
  expert_used_count: z.number().default(0),
  expert_shared_count: z.number().default(0),
  expert_feed_forward_length: z.number().optional(),
  expert_weights_scale: z.number().default(1),
  expert_weights_norm: z.boolean().default(false),
  expert_gating_func: z.number().default(0),
  expert_group_count: z.number().default(1),
  expert_group_used_count: z.number().default(1),
};

/** The rows of an MLA layer under GGUF's names: with key and value up-projections apart ("absorbed") or as one. */
export function latentGguf(
  { d, h, n, r, e, v, c, q, bias }: Sizes,
  prefix: string,
  { shapeOf }: GgufHeader,
): Readonly<Record<string, Source>> {
  const query = q ? `${prefix}attn_q_b.weight` : `${prefix}attn_q.weight`;
  const [latent, key] = [perHead(1, c + r, 0, c), perHead(1, c + r, c, c + r)];
  const down = `${prefix}attn_kv_a_mqa`;
  const both = `${prefix}attn_kv_b.weight`;
  const apart = shapeOf(`${prefix}attn_k_b.weight`) !== undefined;
  return {
    ...(q && {
      wDQ: linear(`${prefix}attn_q_a.weight`, q, d),
      gQ: vector(`${prefix}attn_q_a_norm.weight`, q),
      ...(bias && { bDQ: vector(`${prefix}attn_q_a.bias`, q) }),
    }),
    wUQ: linear(query, h * e, q || d, perHead(h, e, 0, n)),
    wQR: linear(query, h * e, q || d, perHead(h, e, n, e)),
    wDKV: linear(`${down}.weight`, c + r, d, latent),
    wKR: linear(`${down}.weight`, c + r, d, key),
    ...(bias && { bDKV: vector(`${down}.bias`, c + r, latent), bKR: vector(`${down}.bias`, c + r, key) }),
    gKV: vector(`${prefix}attn_kv_a_norm.weight`, c),
    wUK: apart
      ? { tensors: [`${prefix}attn_k_b.weight`], shape: [h, c, n], layout: "swapped" }
      : linear(both, h * (n + v), c, perHead(h, n + v, 0, n)),
    wUV: apart
      ? { tensors: [`${prefix}attn_v_b.weight`], shape: [h, v, c], layout: "transposed" }
      : linear(both, h * (n + v), c, perHead(h, n + v, n, n + v)),
    wO: linear(`${prefix}attn_output.weight`, d, h * v),
    ...(bias === "all" && { bO: vector(`${prefix}attn_output.bias`, d) }),
  };
}

/** DeepSeek-V2 and V3, Kimi K2, GLM-4.7-Flash and Youtu-LLM in GGUF. */
export const absorbedGguf: Architecture = {
  name: "deepseek2",
  config(header) {
    const s = readSettings(header, settings);
    const [h, c, r] = [s["attention.head_count"], s["attention.kv_lora_rank"], s["rope.dimension_count"]];
    if (!r) throw new FormatError("rope.dimension_count: got nothing, expected a number; use another file");
    // Older files give the widths of a head here, newer ones what the latent makes of them.
    const [key, value] = [s["attention.key_length_mla"], s["attention.value_length_mla"]];
    if ((key === undefined) !== (value === undefined))
      throw new FormatError(
        "attention.key_length_mla: got one of it and attention.value_length_mla, expected both or neither; use another file",
      );
    const [e, v] = [key ?? s["attention.key_length"], value ?? s["attention.value_length"]];
    if (!e || !v)
      throw new FormatError("attention.key_length: got nothing, expected the width of a head's key; use another file");
    if (key !== undefined && header.shapeOf("blk.0.attn_k_b.weight")) {
      mustBe("attention.key_length", s["attention.key_length"], c + r, "kv_lora_rank + rope.dimension_count");
      mustBe("attention.value_length", s["attention.value_length"], c, "kv_lora_rank");
    }
    const spread = s["rope.scaling.yarn_log_multiplier"];
    const mscale = spread === undefined ? {} : { mscale: rounded(spread * 10), mscale_all_dim: rounded(spread * 10) };
    return {
      ...decoderConfig(header, s, scalingOf(s, mscale)),
      num_attention_heads: h,
      q_lora_rank: s["attention.q_lora_rank"] || null,
      kv_lora_rank: c,
      qk_nope_head_dim: e - r,
      qk_rope_head_dim: r,
      v_head_dim: v,
      attention_bias: header.shapeOf("blk.0.attn_kv_a_mqa.bias") !== undefined,
      ...expertConfig(header, s),
    };
  },
  sources: (model, header) =>
    ggufSources(model, header, (i, prefix) => latentGguf(model.layers[i]!.attention.sizes, prefix, header)),
};

const settingSchema = z.object(settings);

/** Which of DeepSeek's models it is, and its experts. */
function expertConfig(
  { shapeOf }: GgufHeader,
  s: z.infer<typeof settingSchema> & { block_count: number; nextn_predict_layers: number },
): Config {
  const layers = s.block_count - s.nextn_predict_layers;
  const first = s.leading_dense_block_count;
  if (!s.expert_count || first >= layers) return { model_type: "deepseek_v3", first_k_dense_replace: layers };
  const gating = s.expert_gating_func || (shapeOf(`blk.${first}.exp_probs_b.bias`) ? 2 : 1);
  const experts = {
    first_k_dense_replace: first,
    n_routed_experts: s.expert_count,
    num_experts_per_tok: s.expert_used_count,
    n_shared_experts: s.expert_shared_count,
    moe_intermediate_size: s.expert_feed_forward_length,
    routed_scaling_factor: rounded(s.expert_weights_scale),
    n_group: s.expert_group_count,
    topk_group: s.expert_group_used_count,
  };
  if (gating === 2) return { ...experts, model_type: "deepseek_v3", norm_topk_prob: s.expert_weights_norm };
  if (gating !== 1 || s.expert_weights_norm)
    throw new FormatError(
      `expert_gating_func: got ${gating}${s.expert_weights_norm ? " with expert_weights_norm" : ""}, ` +
        "expected 1 (softmax) without it or 2 (sigmoid); other routers are not supported",
    );
  const method = s.expert_group_count > 1 ? "group_limited_greedy" : "greedy";
  return { ...experts, model_type: "deepseek_v2", topk_method: method };
}
