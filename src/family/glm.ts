import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { count, limits, mustBe } from "./config.ts";
import { decoderKeys } from "./decoder.ts";
import { deepseekGguf } from "./deepseek.ts";
import { expertKeys, expertsOf } from "./experts.ts";
import { defineFamily } from "./family.ts";
import { checkImplied, decoder, impliedKeys, latentAttention, latentKeys, latentTable } from "./latent.ts";

/** GLM-4.7-Flash: DeepSeek-V3's layers, with a list of which are dense. */
export const glm = defineFamily({
  modelTypes: ["glm4_moe_lite"],
  keys: {
    ...decoderKeys,
    ...latentKeys,
    ...impliedKeys,
    ...expertKeys,
    rms_norm_eps: z.number().min(0).max(1).default(1e-5),
    rope_interleave: z.boolean().default(true),
    partial_rotary_factor: z.literal(1).optional(),
    // Only the list counts, as in transformers; the hub's files also say how many layers are dense, and both agree.
    mlp_layer_types: z.array(z.enum(["dense", "sparse"])).nullish(),
    first_k_dense_replace: z.number().int().min(0).max(limits.layers).default(1),
    moe_layer_freq: z.literal(1).optional(),
    num_local_experts: count(limits.experts).nullish(),
    topk_method: z.literal("noaux_tc").optional(),
    scoring_func: z.literal("sigmoid").optional(),
    norm_topk_prob: z.boolean().default(true),
  },
  model(config) {
    checkImplied(config);
    const { num_hidden_layers: layers, mlp_layer_types: types, first_k_dense_replace: first } = config;
    mustBe("num_local_experts", config.num_local_experts, config.n_routed_experts ?? 0, "n_routed_experts");
    if (types && types.length !== layers)
      throw new FormatError(
        `mlp_layer_types: got ${types.length} entries, expected one for each of ${layers} layers; correct the config`,
      );
    const sparse = (i: number) => (types ? types[i] === "sparse" : i >= first);
    const how = { scores: "sigmoid", normalised: config.norm_topk_prob, grouped: "grouped", layers } as const;
    const some = Array.from({ length: layers }, (_, i) => i).some(sparse);
    const experts = some ? expertsOf(config, how) : undefined;
    const layout = config.rope_interleave ? "interleaved" : "half";
    const attention = latentAttention(config, layout);
    return decoder(
      config,
      () => attention,
      (i) => (sparse(i) ? experts : undefined),
    );
  },
  attention: ({ sizes }) => latentTable(sizes),
  gguf: deepseekGguf,
});
