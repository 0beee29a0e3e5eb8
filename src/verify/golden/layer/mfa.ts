import { z } from "zod";
import type { Sizes } from "../../../attention/define.ts";
import { gqa } from "../../../attention/variant/gqa.ts";
import { count, limits } from "../../../family/config.ts";
import { ropeKeys, scaledRotation } from "../../../family/scaling.ts";
import { linear, vector } from "../../../family/source.ts";
import { checkAgrees, readCaseConfig } from "../case.ts";
import { type LayerFamily, matrixOf, shareOf } from "./family.ts";

const schema = z.object({
  model_type: z.string().optional(),
  hidden_size: count(limits.width).optional(),
  num_attention_heads: count(limits.heads),
  num_attention_groups: z.literal(1).optional(),
  head_dim: count(limits.width).optional(),
  share_q_dim: count(limits.width).optional(),
  rms_norm_eps: z.number().min(0).max(1),
  max_position_embedding: z.number().optional(),
  softmax_scale: z.number().positive().optional(),
  rope_layout: z
    .string()
    .regex(/half|neox/)
    .optional(),
  ...ropeKeys,
});

/** Step3's multi-matrix factorisation attention: one key head, queries through a normed bottleneck. */
export const mfaLayers: LayerFamily = {
  knows: (has) => has("inter_norm.weight") && has("wq.weight"),
  read(raw, weights) {
    const config = readCaseConfig(raw, schema);
    const h = config.num_attention_heads;
    const [q, d] = matrixOf(weights, "q_proj.weight");
    const [e] = matrixOf(weights, "k_proj.weight");
    const [v] = matrixOf(weights, "v_proj.weight");
    checkAgrees("head_dim", config.head_dim, shareOf(weights, "wq.weight", h));
    checkAgrees("hidden_size", config.hidden_size, d);
    checkAgrees("share_q_dim", config.share_q_dim, q);
    const sizes: Sizes = { d, h, g: 1, n: 0, r: e, e, v, c: 0, q, o: 0, eps: config.rms_norm_eps };
    const { rotation } = scaledRotation(config, e, "half");
    return {
      attention: { variant: gqa, sizes, rotation, scale: config.softmax_scale },
      sources: {
        wDQ: linear("q_proj.weight", q, d),
        gQ: vector("inter_norm.weight", q),
        wQ: linear("wq.weight", h * e, q),
        wK: linear("k_proj.weight", e, d),
        wV: linear("v_proj.weight", v, d),
        wO: linear("o_proj.weight", d, h * v),
      },
      weights,
      cached: async (cache) => ({
        k_cache_rotated: { values: await cache.read("k") },
        v_cache: { values: await cache.read("v") },
      }),
    };
  },
};
