import { z } from "zod";
import type { Feed, Table } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { borrowing } from "./borrow.ts";
import { checkChosen, dense, isSparse, mixture } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { latentAt, sparseAt } from "./latent.ts";
import { at, change, need, readKeys, type Settings, sizeAt } from "./settings.ts";

const heads = count(limits.heads);
const width = count(limits.width);

const hybridSchema = z.object({
  hybrid_layer_pattern: z.array(z.number().int().min(0).max(1)).max(limits.layers),
  swa_num_attention_heads: heads.nullish(),
  swa_num_key_value_heads: heads.nullish(),
  swa_head_dim: width.nullish(),
  swa_v_head_dim: width.nullish(),
  add_swa_attention_sink_bias: z.boolean().nullish(),
  add_full_attention_sink_bias: z.boolean().nullish(),
});

/** A layer of MiMo-V2-Flash: layers with a window have heads and sinks of their own. */
export function hybridAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, hybridSchema);
  if (!at(keys.hybrid_layer_pattern, i, "num_hidden_layers"))
    return groupedAt(change(s, { sliding_window: null }), i, sunk(traits, keys.add_full_attention_sink_bias));
  const own = change(s, {
    num_attention_heads: keys.swa_num_attention_heads ?? s.num_attention_heads,
    num_key_value_heads: keys.swa_num_key_value_heads ?? s.num_key_value_heads,
    head_dim: keys.swa_head_dim ?? s.head_dim,
    v_head_dim: keys.swa_v_head_dim ?? s.v_head_dim,
  });
  return groupedAt(own, i, sunk(traits, keys.add_swa_attention_sink_bias));
}

const sunk = (traits: Traits, sinks: boolean | null | undefined): Traits => (sinks ? { ...traits, sinks } : traits);

const factorizedSchema = z.object({ share_q_dim: width });

/** A layer of Step-3: multi-matrix factorization attention, one wide key and value and queries through a bottleneck. */
export function factorizedAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { share_q_dim: q } = readKeys(config, factorizedSchema);
  const { attention, ...rest } = groupedAt(change(s, { num_key_value_heads: s.num_key_value_heads ?? 1 }), i, traits);
  return { attention: { ...attention, sizes: { ...attention.sizes, q } }, ...rest };
}

const sharingSchema = z.object({
  use_cla: z.boolean().nullish(),
  cla_share_factor: count(limits.layers).nullish(),
});

/** A layer of Hunyuan-Large: of each `cla_share_factor` layers the first has keys and values, which the others read. */
export function sharingAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { use_cla: shares, cla_share_factor: factor } = readKeys(config, sharingSchema);
  const own = groupedAt(s, i, traits);
  const behind = i % (factor ?? 2);
  if (!shares || behind === 0) return own;
  return { ...own, attention: { ...own.attention, variant: borrowing }, keeping: { owner: i - behind } };
}

/** A layer of A.X-K1: what its experts give is normed before it is added. */
export function closedAt(s: Settings, i: number, traits: Traits): Attending {
  return { ...latentAt(s, i, traits), extra: isSparse(s, i) ? s.hidden_size : 0 };
}

const zeroSchema = z.object({ zero_expert_num: z.number().int().min(0).max(limits.experts).nullish() });

/**
 * The feed-forward half of a layer of LongCat-Flash: an MLP, and in the first of the two layers of a block experts beside it. A
 * router may also choose experts that do nothing; as many of its choices count as are others if all are chosen alike.
 */
export function shortcutFeed(s: Settings, i: number, _traits: Traits, config: Config): Feed {
  const d = s.hidden_size;
  const mlp = dense({ d, f: sizeAt(s, "intermediate_size", i) });
  if (i % 2) return mlp;
  const { zero_expert_num: idle } = readKeys(config, zeroSchema);
  const experts = at<number>(s.num_experts ?? 0, i, "num_experts");
  const zeros = idle ?? 0;
  const visited = sizeAt(s, "num_experts_per_tok", i);
  checkChosen(visited, experts + zeros);
  const chosen = Math.round((visited * experts) / Math.max(1, experts + zeros));
  const some = mixture(
    { d, f: sizeAt(s, "moe_intermediate_size", i) },
    { experts, chosen, shared: 0, more: d * zeros + experts + zeros },
  );
  return { ...some, always: some.always + mlp.always, flops: some.flops + mlp.flops + 2 * d * zeros };
}

const sparseSchema = z.object({
  attention_method: z.enum(["LSA", "MLA"]).nullish(),
  // Layers of attention that one choice serves: both of a block unless a config says so of more.
  cli_factor: count(limits.layers).nullish(),
  index_init_tokens: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .nullish(),
  index_local_tokens: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .nullish(),
  index_k_norm_type: z.enum(["rms", "layer"]).nullish(),
});

/**
 * A layer of LongCat-Flash-Lite-Sparse (arXiv 2608.01662): MLA over keys that an indexer chooses, the first and the last ones always
 * among them; of so many layers of attention the first has the indexer, and its choice serves the others.
 */
export function streamingAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, sparseSchema);
  const sparse = keys.attention_method ? keys.attention_method === "LSA" : (s.index_topk ?? 0) > 0;
  if (!sparse) return latentAt(s, i, traits);
  const every = keys.cli_factor ?? 2;
  const indexer_types = Array.from({ length: s.num_hidden_layers }, (_, j) => (j % every ? "shared" : "full"));
  const own = sparseAt(s, i, traits, { indexer_types });
  // Its key's norm has no bias.
  return keys.index_k_norm_type === "layer" || i % every ? own : { ...own, extra: -need(s, "index_head_dim") };
}

const ngramSchema = z.object({
  ngram_vocab_size_ratio: z
    .number()
    .positive()
    .max(2 ** 20)
    .default(78),
  // Tokens of the longest n-gram, and tables for each length.
  emb_neighbor_num: z.number().int().min(2).max(64).default(4),
  emb_split_num: heads.default(4),
});

/** Tables of LongCat-Flash-Lite for n-grams from two tokens on, so many for each length, which share the width of an embedding. */
export function ngramTables(s: Settings, config: Config): readonly Table[] {
  const {
    ngram_vocab_size_ratio: ratio,
    emb_neighbor_num: longest,
    emb_split_num: split,
  } = readKeys(config, ngramSchema);
  const tables = split * (longest - 1);
  const own = Math.floor(s.hidden_size / tables);
  // Each has two rows more than the one before.
  const rows = tables * Math.floor(ratio * s.vocab_size) + tables ** 2;
  return [{ name: "embeddings of n-grams", parameters: rows * own, read: tables * own }];
}

/** The same where a config has such tables. */
export const someTables = (s: Settings, config: Config): readonly Table[] =>
  config.ngram_vocab_size_ratio ? ngramTables(s, config) : [];
export const someExtra = (s: Settings, config: Config): number =>
  config.ngram_vocab_size_ratio ? ngramExtra(s, config) : 0;

/** What projects a row of each of these tables to the width. */
export function ngramExtra(s: Settings, config: Config): number {
  const { emb_neighbor_num: longest, emb_split_num: split } = readKeys(config, ngramSchema);
  const tables = split * (longest - 1);
  return tables * Math.floor(s.hidden_size / tables) * s.hidden_size;
}
