import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { dsa } from "../attention/variant/dsa.ts";
import type { Model } from "../model/model.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { count, limits, readConfig } from "./config.ts";
import { decoderKeys, decoderSources, fp8Schema, ignoresTensor, withScales } from "./decoder.ts";
import { expertKeys, expertsOf } from "./experts.ts";
import type { Family } from "./family.ts";
import { checkImplied, decoder, impliedKeys, latentAttention, latentKeys, latentSources } from "./latent.ts";
import { linear, perHead, type Source, vector } from "./source.ts";

const shared = {
  ...decoderKeys,
  ...latentKeys,
  ...impliedKeys,
  ...expertKeys,
  first_k_dense_replace: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .default(0),
};

const second = z.object({
  ...shared,
  model_type: z.literal("deepseek_v2"),
  rope_interleave: z.literal(true).optional(),
  moe_layer_freq: count(2 ** 31).default(1),
  topk_method: z.enum(["greedy", "group_limited_greedy"]).default("greedy"),
  scoring_func: z.literal("softmax").default("softmax"),
  // Read and left aside, as transformers does: V2's weights are never renormalised.
  norm_topk_prob: z.boolean().optional(),
});

/** DeepSeek-V2 and V2-Lite: MLA with interleaved rotary pairs, and after the first dense layers a mixture of experts. */
export const deepseek: Family = {
  modelTypes: ["deepseek_v2"],
  model(raw) {
    const config = readConfig(raw, second);
    checkImplied(config);
    const { num_hidden_layers: layers, first_k_dense_replace: first, moe_layer_freq: every } = config;
    const grouped = config.topk_method === "greedy" ? "whole" : "grouped";
    const experts = first < layers ? expertsOf(config, { scores: "softmax", grouped, layers }) : undefined;
    return decoder(config, latentAttention(config), (i) => (i >= first && i % every === 0 ? experts : undefined));
  },
  sources: (model) => decoderSources(model, (i, prefix) => latentSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};

const thirdKeys = {
  ...shared,
  rope_interleave: z.boolean().default(true),
  moe_layer_freq: z.literal(1).optional(),
  topk_method: z.literal("noaux_tc").optional(),
  scoring_func: z.literal("sigmoid").optional(),
  norm_topk_prob: z.boolean().default(true),
  quantization_config: fp8Schema.nullish(),
};
const third = z.object({ ...thirdKeys, model_type: z.enum(["deepseek_v3", "kimi_k2"]) });

/** DeepSeek-V3 and R1, Moonlight and Kimi K2: experts by sigmoid scores, and a bias that only picks; FP8 weights. */
export const deepseek3: Family = {
  modelTypes: ["deepseek_v3", "kimi_k2"],
  model(raw) {
    const config = readConfig(raw, third);
    return thirdModel(config, latentAttention(config, layoutOf(config)));
  },
  sources: (model, config) =>
    withScales(
      decoderSources(model, (i, prefix) => latentSources(model.layers[i]!.attention.sizes, prefix)),
      config,
    ),
  ignores: ignoresTensor,
};

const sparseSchema = z.object({
  ...thirdKeys,
  model_type: z.literal("deepseek_v32"),
  index_n_heads: count(limits.heads),
  index_head_dim: count(limits.width),
  index_topk: count(2 ** 31),
});

/** DeepSeek-V3.2: V3 whose queries attend to the keys that an indexer selects. */
export const deepseek32: Family = {
  modelTypes: ["deepseek_v32"],
  model(raw) {
    const config = readConfig(raw, sparseSchema);
    const latent = latentAttention(config, layoutOf(config));
    const { index_head_dim: i, index_n_heads: j, index_topk: m } = config;
    return thirdModel(config, { ...latent, variant: dsa, sizes: { ...latent.sizes, i, j, m } });
  },
  sources: (model, config) =>
    withScales(
      decoderSources(model, (layer, prefix) => {
        const { sizes, rotation } = model.layers[layer]!.attention;
        return { ...latentSources(sizes, prefix), ...indexerSources(sizes, rotation.layout, `${prefix}indexer.`) };
      }),
      config,
    ),
  ignores: ignoresTensor,
};

/**
 * The indexer's parameters. Its heads hold their rotary dims first and in halves, whatever the rest of the layer does; ours have
 * them last and in the layer's own layout. Queries and keys are reordered alike, so that no score changes.
 */
function indexerSources(z: Sizes, layout: Rotation["layout"], prefix: string): Readonly<Record<string, Source>> {
  const { d, q, r, i = 0, j = 0 } = z;
  const order = Array.from({ length: i }, (_, at) => {
    if (at < i - r) return r + at;
    const turned = at - (i - r);
    return layout === "half" ? turned : (turned >> 1) + (turned % 2) * (r / 2);
  });
  const head = (heads: number) => ({ ...perHead(heads, i, 0, i), order });
  return {
    wQI: linear(`${prefix}wq_b.weight`, j * i, q || d, head(j)),
    wKI: linear(`${prefix}wk.weight`, i, d, head(1)),
    gKI: vector(`${prefix}k_norm.weight`, i, head(1)),
    bKI: vector(`${prefix}k_norm.bias`, i, head(1)),
    wWI: linear(`${prefix}weights_proj.weight`, j, d),
  };
}

function layoutOf({ rope_interleave }: { rope_interleave: boolean }): Rotation["layout"] {
  return rope_interleave ? "interleaved" : "half";
}

function thirdModel(config: Omit<z.infer<typeof third>, "model_type">, attention: Attention): Model {
  checkImplied(config);
  const { num_hidden_layers: layers, first_k_dense_replace: first, norm_topk_prob: normalised } = config;
  const how = { scores: "sigmoid", normalised, grouped: "grouped", layers } as const;
  const experts = first < layers ? expertsOf(config, how) : undefined;
  return decoder(config, attention, (i) => (i >= first ? experts : undefined));
}
