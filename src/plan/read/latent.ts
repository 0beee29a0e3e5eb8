import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { dsa } from "../../attention/variant/dsa.ts";
import { mla } from "../../attention/variant/mla.ts";
import { type Config, limits, mustBe } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { type Attending, type AttentionTraits, addGate } from "./grouped.ts";
import { at, change, need, readKeys, type Settings, settle, sizeAt } from "./settings.ts";
import { kindAt, windowAt } from "./window.ts";

const gatedMla = addGate(mla);

/** A layer of Multi-head Latent Attention. Throws FormatError naming the key that is missing or at odds with another. */
export function latentAt(s: Settings, i: number, traits: AttentionTraits = {}): Attending {
  const [d, h] = [s.hidden_size, sizeAt(s, "num_attention_heads", i)];
  const c = need(s, "kv_lora_rank");
  const r = need(s, "qk_rope_head_dim");
  const n = need(s, "qk_nope_head_dim");
  // The latent has no heads, and each head's widths stand apart.
  settle(s, "num_key_value_heads", "head_dim");
  mustBe("qk_head_dim", s.qk_head_dim, n + r, "qk_nope_head_dim + qk_rope_head_dim");
  if (r % 2) throw new FormatError(`qk_rope_head_dim: got ${r}, expected an even number; rotary dims come in pairs`);
  const v = s.v_head_dim ?? d / h;
  if (!Number.isInteger(v))
    throw new FormatError(
      `v_head_dim: got nothing, and hidden_size ${d} is no multiple of ${h} heads, expected a whole number; add it to the config`,
    );
  const sizes: Sizes = {
    d,
    h,
    g: 0,
    n,
    r,
    e: n + r,
    v,
    c,
    q: s.q_lora_rank ?? 0,
    o: 0,
    bias: s.attention_bias ? (traits.bias ?? "all") : undefined,
  };
  return { attention: { variant: traits.gate ? gatedMla : mla, sizes, window: windowAt(s, i) } };
}

const indexSchema = z.object({
  indexer_types: z
    .array(z.enum(["full", "shared"]))
    .max(limits.layers)
    .nullish(),
  index_topk_pattern: z
    .string()
    .regex(/^[FS]{1,1024}$/)
    .nullish(),
  index_topk_freq: z.number().int().min(0).max(limits.layers).nullish(),
  index_skip_topk_offset: z.number().int().min(0).max(limits.layers).nullish(),
});

/** Sparse selection without an indexer: the keys are those that an earlier layer's indexer chose (GLM-5.2). */
const chosenElsewhere: Costed = {
  ...dsa,
  name: "DSA-shared",
  source: "transformers, glm_moe_dsa",
  rules: (z) => [...mla.rules(z), [(z.m ?? 0) > 0, "m", "at least one key is selected"]],
  params: mla.params,
  cache: mla.cache,
  ...(mla.unfolded && { unfolded: mla.unfolded }),
  reads: (z, context) => (z.c + z.r) * Math.min(z.m ?? 0, context),
  forms: Object.fromEntries(
    Object.entries(mla.forms).map(([name, form]) => {
      const cost: typeof form.cost = (z) => {
        const { pair, ...rest } = form.cost(z);
        return { ...rest, pair: 0, selected: pair };
      };
      return [name, { ...form, cost }];
    }),
  ),
};

/** MLA whose queries attend to the keys that an indexer selects (DeepSeek-V3.2): the layer's own, or that of an earlier one. */
export function sparseAt(s: Settings, i: number, traits: AttentionTraits, config: Config): Attending {
  const keys = readKeys(config, indexSchema);
  if (s.layer_types) kindAt(s, i, "deepseek_sparse_attention", "indexed_attention", "full_attention");
  const { sizes } = latentAt(change(s, { sliding_window: null, layer_types: null }), i, traits).attention;
  const m = need(s, "index_topk");
  if (!indexes(keys, i)) return { attention: { variant: chosenElsewhere, sizes: { ...sizes, m } } };
  return {
    attention: { variant: dsa, sizes: { ...sizes, i: need(s, "index_head_dim"), j: need(s, "index_n_heads"), m } },
  };
}

/** Whether layer i has an indexer: by a list, by a pattern, or every so many layers after the first. */
function indexes(keys: z.infer<typeof indexSchema>, i: number): boolean {
  if (keys.indexer_types) return at(keys.indexer_types, i, "num_hidden_layers") === "full";
  if (keys.index_topk_pattern) return at([...keys.index_topk_pattern], i, "num_hidden_layers") === "F";
  const [every, offset] = [Math.max(keys.index_topk_freq ?? 1, 1), keys.index_skip_topk_offset ?? 2];
  return Math.max(i - offset + 1, 0) % every === 0;
}
