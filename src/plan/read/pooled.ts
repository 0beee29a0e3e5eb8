import { z } from "zod";
import { dsa } from "../../attention/variant/dsa.ts";
import { gdn } from "../../attention/variant/gdn.ts";
import type { Feed, Table } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { deltaAttention, taps } from "../../family/hybrid.ts";
import { FormatError } from "../../tensor/error.ts";
import { mixing } from "./compressed.ts";
import { extend } from "./extend.ts";
import { feedAt } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { gatedDeltaAt } from "./hybrid.ts";
import { gatedIndexedGqa } from "./indexed.ts";
import { sparseAt } from "./latent.ts";
import { change, readKeys, type Settings } from "./settings.ts";
import { kindAt } from "./window.ts";

// Hybrids of the summer of 2026 whose attention layers have an indexer with one key for several tokens.

const width = count(limits.width);

/** DSA whose index keys are sums of w tokens' keys, weighted by a gate and by their places (GLM-5.3-Flash). */
const pooledDsa = extend(dsa, "DSA-pooled", {
  params: () => ({ wPI: "d i", bPI: "w i" }),
  token: (z) => 2 * z.d * (z.i ?? 0),
});

const glmSchema = z.object({
  linear_attn_config: z
    .object({
      kda_layers: z.array(count(limits.layers)).max(limits.layers).nullish(),
      full_attn_layers: z.array(count(limits.layers)).max(limits.layers).nullish(),
      num_heads: count(limits.heads),
      head_dim: width,
      short_conv_kernel_size: taps.nullish(),
      gate_lower_bound: z.number().max(0).nullish(),
      lower_bound: z.number().max(0).nullish(),
    })
    .nullish(),
  linear_num_heads: count(limits.heads).nullish(),
  linear_head_dim: width.nullish(),
  linear_conv_kernel_dim: taps.nullish(),
  linear_lower_bound: z.number().max(0).nullish(),
  index_kpool: count(2 ** 20).default(16),
  index_kpool_always_select_tail: z.boolean().nullish(),
  index_kpool_compress: z.literal(true).nullish(),
  hc_mult: count(64).nullish(),
});

/** A layer of GLM-5.3-Flash: KDA, or every fourth MLA without rotation behind an indexer with pooled keys. Lists count from 1. */
export function glmAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, glmSchema);
  const linear = keys.linear_attn_config;
  const extra = 2 * mixing(s.hidden_size, keys.hc_mult ?? 4);
  const full = linear?.full_attn_layers?.includes(i + 1);
  if (!s.layer_types && full !== undefined && i < s.num_hidden_layers && linear?.kda_layers?.includes(i + 1) === full)
    throw new FormatError(
      `linear_attn_config: got layer ${i + 1} in ${full ? "both" : "none"} of kda_layers and full_attn_layers, expected it in one; correct the config`,
    );
  const types = ["linear_attention", "indexed_attention", "deepseek_sparse_attention", "full_attention"];
  const isLinear = s.layer_types
    ? kindAt(s, i, ...types) === "linear_attention"
    : linear?.kda_layers
      ? linear.kda_layers.includes(i + 1)
      : i % 4 !== 3;
  if (!isLinear) {
    const { attention } = sparseAt(s, i, traits, config);
    if (attention.variant !== dsa) return { attention, extra };
    const sizes = { ...attention.sizes, w: keys.index_kpool };
    return { attention: { variant: pooledDsa, sizes }, extra, keeping: { indexEvery: keys.index_kpool } };
  }
  const n = linear?.head_dim ?? keys.linear_head_dim ?? 128;
  const { variant, sizes } = deltaAttention({
    d: s.hidden_size,
    h: linear?.num_heads ?? keys.linear_num_heads ?? 64,
    n,
    c: n,
    w: linear?.short_conv_kernel_size ?? keys.linear_conv_kernel_dim ?? 4,
    eps: s.rms_norm_eps ?? 1e-6,
    floor: linear?.gate_lower_bound ?? linear?.lower_bound ?? keys.linear_lower_bound ?? -5,
  });
  return { attention: { variant, sizes }, extra };
}

const qwenSchema = z.object({
  indexer_n_heads: count(limits.heads),
  indexer_kv_heads: z.literal(1).default(1),
  indexer_head_dim: width,
  indexer_budget: count(2 ** 31),
  indexer_compress_ratio: count(2 ** 20),
  full_attention_interval: count(limits.layers).nullish(),
  hc_count: count(64),
  hc_lowrank: width,
});
const tableSchema = z.object({
  // Layers with tables of n-grams, counted from 1.
  ple_layer_ids: z.array(count(limits.layers)).max(limits.layers).nullish(),
  ple_embed_dim: width.nullish(),
  ple_conv_kernel_size: taps.default(4),
  ngram_size: z.number().int().min(2).max(64).default(3),
  heads_per_ngram: count(limits.heads).default(8),
  ngram_vocab_size_base: count(2 ** 40).default(20_000_000),
  make_ngram_vocab_size_divisible_by: count(2 ** 31).nullish(),
  split_ngram_parts: count(2 ** 20).nullish(),
});

/** A delta net that also keeps the inputs of a convolution over what its table gave: k channels, j tokens back. */
const tabledGdn = extend(gdn, "GDN-PLE", { state: () => ({ lookup: "k j" }) });

/** A layer of Qwen3.8-Flash-Next: gated delta net, and every fourth grouped heads behind an indexer with pooled keys, both on streams. */
export function qwenAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, qwenSchema);
  const types = ["linear_attention", "full_attention", "indexed_attention", "qwen_sparse_attention"];
  const linear = s.layer_types
    ? kindAt(s, i, ...types) === "linear_attention"
    : (i + 1) % (keys.full_attention_interval ?? 4) !== 0;
  // The streams have norms, weights through a bottleneck, and weights of what a half gives back; halves have no norm.
  const [m, l] = [keys.hc_count * s.hidden_size, keys.hc_lowrank];
  const extra = 2 * (m + 2 * l * m + keys.hc_count * m) + tableExtra(s, i, keys.hc_count, config);
  if (linear) {
    const { attention } = gatedDeltaAt(s, config);
    const { ple_layer_ids: ids, ...table } = readKeys(config, tableSchema);
    if (!ids?.includes(i + 1)) return { attention, extra };
    const back = (table.ple_conv_kernel_size - 1) * table.ngram_size;
    return { attention: { variant: tabledGdn, sizes: { ...attention.sizes, k: m, j: back } }, extra };
  }
  const { attention } = groupedAt(change(s, { layer_types: null }), i, traits);
  const index = { i: keys.indexer_head_dim, j: keys.indexer_n_heads, m: keys.indexer_budget };
  return {
    attention: { variant: gatedIndexedGqa, sizes: { ...attention.sizes, ...index } },
    extra,
    keeping: { indexEvery: keys.indexer_compress_ratio },
  };
}

/** What takes in the rows of a table: a key for each stream, a value, three norms and a convolution over the streams. */
function tableExtra(s: Settings, i: number, streams: number, config: Config): number {
  const keys = readKeys(config, tableSchema);
  if (!keys.ple_layer_ids?.includes(i + 1)) return 0;
  const [d, p] = [s.hidden_size, keys.ple_embed_dim ?? s.hidden_size];
  return p * d * (streams + 1) + (3 + keys.ple_conv_kernel_size) * streams * d;
}

/** The tables of n-grams, one for each layer that has it: so many heads for each n-gram from two tokens on share a row's width. */
export function qwenTables(s: Settings, config: Config): readonly Table[] {
  const keys = readKeys(config, tableSchema);
  const read = keys.ple_embed_dim ?? s.hidden_size;
  if (keys.ple_layer_ids?.length && s.layer_types)
    for (const layer of keys.ple_layer_ids)
      if (layer > s.num_hidden_layers || s.layer_types[layer - 1] !== "linear_attention")
        throw new FormatError(
          `ple_layer_ids: got ${layer}, expected layers with linear attention, counted from 1; others are not planned for`,
        );
  return (keys.ple_layer_ids ?? []).map((layer) => ({
    name: `embeddings of layer ${layer - 1}`,
    // A prime near the base for each head; the heads share the width of a row.
    parameters: keys.ngram_vocab_size_base * read,
    read,
  }));
}

/** What brings the streams together before the head: a norm, and weights through a bottleneck; there is no other norm. */
export function qwenExtra(s: Settings, config: Config): number {
  const { hc_count: streams, hc_lowrank: l } = readKeys(config, qwenSchema);
  const m = streams * s.hidden_size;
  return m + 2 * l * m - s.hidden_size;
}

/** Experts, and what mixes the streams around both halves. */
export function qwenFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  const { hc_count: streams, hc_lowrank: l } = readKeys(config, qwenSchema);
  const feed = feedAt(s, i, traits);
  return { ...feed, flops: feed.flops + 4 * streams * s.hidden_size * (2 * l + streams) };
}
