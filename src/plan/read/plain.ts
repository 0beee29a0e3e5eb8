import { z } from "zod";
import { gqa } from "../../attention/variant/gqa.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { extend } from "./extend.ts";
import { isSparse } from "./feed.ts";
import { type Attending, addGate, groupedAt, type Traits } from "./grouped.ts";
import { sparseAt } from "./latent.ts";
import { at, change, readKeys, type Settings, settle } from "./settings.ts";

// Models of 2026 that are grouped heads, or MLA behind an indexer, with one more thing.

/** Grouped heads with one gate for each head's whole output, made of the hidden state. */
const headGated = extend(gqa, "GQA-headgated", { params: () => ({ wG: "d h" }), token: (z) => 2 * z.d * z.h });

const heads = count(limits.heads);
const lagunaSchema = z.object({
  num_attention_heads_per_layer: z.array(heads).max(limits.layers).nullish(),
  gating: z.union([z.boolean(), z.enum(["per-head", "per-element"])]).nullish(),
});

/** A layer of Laguna: query heads of its own number, and a gate for each head or for each number that leaves it. */
export function lagunaAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { num_attention_heads_per_layer: each, gating } = readKeys(config, lagunaSchema);
  // Lists of kinds of layers say which have experts.
  settle(s, "num_attention_heads", "decoder_sparse_step");
  const own = groupedAt(each ? change(s, { num_attention_heads: at(each, i, "num_attention_heads") }) : s, i, traits);
  if (gating === false) return own;
  const variant = gating === "per-element" ? addGate(gqa) : headGated;
  return { ...own, attention: { ...own.attention, variant } };
}

const stepSchema = z.object({
  num_sliding_attention_heads: heads.nullish(),
  attention_other_setting: z
    .object({
      attention_type: z.literal("sliding_attention").nullish(),
      num_attention_heads: heads.nullish(),
      num_attention_groups: heads.nullish(),
      head_dim: count(limits.width).nullish(),
      true_head_dim: count(limits.width).nullish(),
    })
    .nullish(),
  use_head_wise_attn_gate: z.boolean().nullish(),
});

/** A layer of Step-3.5 or Step-3.7 Flash: layers with a window have heads of their own number, and each head a gate. */
export function stepAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { attention_other_setting: other, ...keys } = readKeys(config, stepSchema);
  const near = s.layer_types && at(s.layer_types, i, "layer_types") === "sliding_attention";
  const own = near
    ? change(s, {
        num_attention_heads: other?.num_attention_heads ?? keys.num_sliding_attention_heads ?? s.num_attention_heads,
        num_key_value_heads: other?.num_attention_groups ?? s.num_key_value_heads,
        head_dim: other?.head_dim ?? s.head_dim,
      })
    : s;
  const attending = groupedAt(own, i, traits);
  if (keys.use_head_wise_attn_gate === false) return attending;
  return { ...attending, attention: { ...attending.attention, variant: headGated } };
}

/** A layer of Apertus, whose activation has four numbers. */
export function apertusAt(s: Settings, i: number, traits: Traits): Attending {
  return { ...groupedAt(s, i, traits), extra: 4 };
}

const skSchema = z.object({ gated_norm_rank: count(limits.width).default(16) });

/**
 * A layer of A.X-K2: MLA behind an indexer. Queries and a gate on the heads' outputs come of the bottleneck and of as much beside it,
 * and norms before attention and experts have a gate of their own through a bottleneck.
 */
export function gatedSparseAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { gated_norm_rank: rank } = readKeys(config, skSchema);
  const { attention } = sparseAt(s, i, traits, config);
  return {
    attention: { ...attention, variant: gatedByLatent(attention.variant) },
    extra: 2 * s.hidden_size * rank * (isSparse(s, i) ? 2 : 1),
  };
}

const known = new WeakMap<object, ReturnType<typeof extend>>();
/** Queries of twice the bottleneck's width, and a gate of the same on each number that leaves a head. */
function gatedByLatent(variant: Attending["attention"]["variant"]) {
  const found =
    known.get(variant) ??
    extend(variant, `${variant.name}-latentgated`, {
      params: () => ({ wQ2: "q h e", wG: "q h v", wG2: "q h v" }),
      token: (z) => 2 * z.q * z.h * (z.e + 2 * z.v),
    });
  known.set(variant, found);
  return found;
}
