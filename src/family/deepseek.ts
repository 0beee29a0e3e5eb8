import { z } from "zod";
import type { Attention } from "../attention/layer.ts";
import { dsa } from "../attention/variant/dsa.ts";
import type { Model } from "../model/model.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, count, limits } from "./config.ts";
import { decoderKeys, fp8Schema } from "./decoder.ts";
import { expertKeys, expertSettings, expertsOf } from "./experts.ts";
import { defineFamily } from "./family.ts";
import { f32, flag, shorten, u32 } from "./gguf.ts";
import {
  checkImplied,
  decoder,
  impliedKeys,
  latentArchitecture,
  latentAttention,
  latentKeys,
  latentTable,
} from "./latent.ts";
import { linear, perHead, type Source, vector } from "./source.ts";
import type { Table } from "./table.ts";

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

/**
 * Which of DeepSeek's models has a router that a header says (`expert_gating_func`); older files tell by the bias that only
 * picks. Undefined for another router.
 */
export function modelTypeOf(router: {
  readonly gating: unknown;
  readonly biased: boolean;
}): "deepseek_v2" | "deepseek_v3" | undefined {
  const said = router.gating || (router.biased ? 2 : 1);
  return said === 2 ? "deepseek_v3" : said === 1 ? "deepseek_v2" : undefined;
}

/** DeepSeek-V2 and V3, Kimi K2, GLM-4.7-Flash and Youtu-LLM in GGUF, all by one name and read as DeepSeek's. */
export const deepseekGguf = latentArchitecture({
  name: "deepseek2",
  settings: expertSettings,
  others: {
    // Files converted for it hold a tenth of DeepSeek's mscale_all_dim.
    "rope.scaling.yarn_log_multiplier": z.number().optional(),
    expert_gating_func: z.number().default(0),
  },
  read(others, plain, { shapeOf }) {
    const { num_hidden_layers: layers, first_k_dense_replace: first } = plain;
    const scaling = plain.rope_scaling as Config | null;
    const spread = others["rope.scaling.yarn_log_multiplier"];
    const mscale = spread === undefined ? undefined : shorten(spread * 10);
    const stretched = {
      rope_scaling: scaling?.rope_type === "yarn" ? { ...scaling, mscale, mscale_all_dim: mscale } : scaling,
    };
    if (!plain.n_routed_experts || Number(first) >= Number(layers)) {
      const none = Object.values(expertSettings).map(({ hub }) => [hub, undefined]);
      const dense = { ...Object.fromEntries(none), first_k_dense_replace: layers };
      return { ...stretched, ...dense, model_type: "deepseek_v3" };
    }
    const { expert_gating_func: gating } = others;
    const type = modelTypeOf({ gating, biased: shapeOf(`blk.${first}.exp_probs_b.bias`) !== undefined });
    const second = type === "deepseek_v2";
    if (type === undefined || (second && plain.norm_topk_prob))
      throw new FormatError(
        `expert_gating_func: got ${gating}${plain.norm_topk_prob ? " with expert_weights_norm" : ""}, ` +
          "expected 1 (softmax) without it or 2 (sigmoid); other routers are not supported",
      );
    const method = Number(plain.n_group) > 1 ? "group_limited_greedy" : "greedy";
    return { ...stretched, model_type: type, topk_method: second ? method : undefined };
  },
  write(config, model) {
    const scaling = (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
    const spread = (scaling.rope_type ?? scaling.type) === "yarn" ? Number(scaling.mscale_all_dim ?? 0) : undefined;
    // By the model, since configs have keys that their models do not heed.
    const first = model.layers.findIndex(({ feed }) => feed.kind === "experts");
    const feed = model.layers[first]?.feed;
    const experts = feed?.kind === "experts" ? feed : undefined;
    const { scores, normalised = false, groups = 1, perGroup = 1, factor = 1, perToken } = experts?.routing ?? {};
    const grouped = scores === "sigmoid" || groups > 1;
    return {
      // 0 where queries have no rank: llama.cpp wants the key in all but a few numbers of layers.
      "attention.q_lora_rank": u32(model.layers[0]!.attention.sizes.q),
      // The other mscale has no key and is taken for the same.
      "rope.scaling.yarn_log_multiplier": spread === undefined ? undefined : f32(0.1 * spread),
      leading_dense_block_count: u32(experts ? first : model.layers.length),
      expert_count: experts ? u32(experts.x) : undefined,
      expert_feed_forward_length: u32(experts?.f ?? Number(config.intermediate_size)),
      expert_used_count: perToken ? u32(perToken) : undefined,
      expert_shared_count: u32(experts ? Number(config.n_shared_experts ?? 0) : 0),
      expert_weights_scale: f32(factor),
      expert_gating_func: experts ? u32(scores === "sigmoid" ? 2 : 1) : undefined,
      expert_weights_norm: experts ? flag(normalised) : undefined,
      expert_group_count: grouped ? u32(groups) : undefined,
      expert_group_used_count: grouped ? u32(perGroup) : undefined,
    };
  },
});

/** DeepSeek-V2 and V2-Lite: MLA with interleaved rotary pairs, and after the first dense layers a mixture of experts. */
export const deepseek = defineFamily({
  modelTypes: ["deepseek_v2"],
  keys: {
    ...shared,
    rope_interleave: z.literal(true).optional(),
    moe_layer_freq: count(2 ** 31).default(1),
    topk_method: z.enum(["greedy", "group_limited_greedy"]).default("greedy"),
    scoring_func: z.literal("softmax").default("softmax"),
    // Read and left aside, as transformers does: V2's weights are never renormalised.
    norm_topk_prob: z.boolean().optional(),
  },
  model(config) {
    checkImplied(config);
    const { num_hidden_layers: layers, first_k_dense_replace: first, moe_layer_freq: every } = config;
    const grouped = config.topk_method === "greedy" ? "whole" : "grouped";
    const experts = first < layers ? expertsOf(config, { scores: "softmax", grouped, layers }) : undefined;
    const attention = latentAttention(config);
    return decoder(
      config,
      () => attention,
      (i) => (i >= first && i % every === 0 ? experts : undefined),
    );
  },
  attention: ({ sizes }) => latentTable(sizes),
  gguf: deepseekGguf,
});

const thirdKeys = {
  ...shared,
  rope_interleave: z.boolean().default(true),
  moe_layer_freq: z.literal(1).optional(),
  topk_method: z.literal("noaux_tc").optional(),
  scoring_func: z.literal("sigmoid").optional(),
  norm_topk_prob: z.boolean().default(true),
  quantization_config: fp8Schema.nullish(),
};
const third = z.object(thirdKeys);

/** DeepSeek-V3 and R1, Moonlight and Kimi K2: experts by sigmoid scores, and a bias that only picks; FP8 weights. */
export const deepseek3 = defineFamily({
  modelTypes: ["deepseek_v3", "kimi_k2"],
  keys: thirdKeys,
  model: (config) => thirdModel(config, latentAttention(config, layoutOf(config))),
  attention: ({ sizes }) => latentTable(sizes),
  gguf: deepseekGguf,
});

/** DeepSeek-V3.2: V3 whose queries attend to the keys that an indexer selects. GGUF files of it are not read. */
export const deepseek32 = defineFamily({
  modelTypes: ["deepseek_v32"],
  keys: {
    ...thirdKeys,
    index_n_heads: count(limits.heads),
    index_head_dim: count(limits.width),
    index_topk: count(2 ** 31),
  },
  model(config) {
    const latent = latentAttention(config, layoutOf(config));
    const { index_head_dim: i, index_n_heads: j, index_topk: m } = config;
    return thirdModel(config, { ...latent, variant: dsa, sizes: { ...latent.sizes, i, j, m } });
  },
  attention: (attention) => ({ ...latentTable(attention.sizes), ...indexerTable(attention) }),
});

/**
 * The indexer's parameters. Its heads hold their rotary dims first and in halves, whatever the rest of the layer does; ours have
 * them last and in the layer's own layout. Queries and keys are reordered alike, so that no score changes.
 */
function indexerTable({ sizes: { d, q, r, i = 0, j = 0 }, rotation: { layout } }: Attention): Table {
  const order = Array.from({ length: i }, (_, at) => {
    if (at < i - r) return r + at;
    const turned = at - (i - r);
    return layout === "half" ? turned : (turned >> 1) + (turned % 2) * (r / 2);
  });
  const head = (heads: number) => ({ ...perHead(heads, i, 0, i), order });
  const only = (hub: Source) => ({ hub, gguf: {} });
  return {
    wQI: only(linear("indexer.wq_b.weight", j * i, q || d, head(j))),
    wKI: only(linear("indexer.wk.weight", i, d, head(1))),
    gKI: only(vector("indexer.k_norm.weight", i, head(1))),
    bKI: only(vector("indexer.k_norm.bias", i, head(1))),
    wWI: only(linear("indexer.weights_proj.weight", j, d)),
  };
}

function layoutOf({ rope_interleave }: { rope_interleave: boolean }): Rotation["layout"] {
  return rope_interleave ? "interleaved" : "half";
}

function thirdModel(config: z.infer<typeof third>, attention: Attention): Model {
  checkImplied(config);
  const { num_hidden_layers: layers, first_k_dense_replace: first, norm_topk_prob: normalised } = config;
  const how = { scores: "sigmoid", normalised, grouped: "grouped", layers } as const;
  const experts = first < layers ? expertsOf(config, how) : undefined;
  return decoder(
    config,
    () => attention,
    (i) => (i >= first ? experts : undefined),
  );
}
