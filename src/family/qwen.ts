import { z } from "zod";
import { count, limits } from "./config.ts";
import { decoderKeys } from "./decoder.ts";
import { defineFamily } from "./family.ts";
import { groupedArchitecture, groupedModel, groupedTable } from "./grouped.ts";
import { ropeKeys } from "./scaling.ts";

/** Qwen3: Llama's layers with a norm on each head's query and key. */
export const qwen = defineFamily({
  modelTypes: ["qwen3"],
  keys: {
    ...decoderKeys,
    ...ropeKeys,
    // Unlike Llama's, not the width's share of a head.
    head_dim: count(limits.width).default(128),
    attention_bias: z.boolean().default(false),
    // A window's size is in the files of models that use none.
    use_sliding_window: z.literal(false).optional(),
    sliding_window: z.number().nullish(),
    layer_types: z.array(z.literal("full_attention")).nullish(),
  },
  model: (config) => groupedModel(config, ["qkNorm"]),
  attention: ({ sizes }) => groupedTable(sizes),
  gguf: groupedArchitecture("qwen3"),
});
