import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { gqa } from "../../attention/variant/gqa.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { type Attending, addGate, groupedAt, type Traits } from "./grouped.ts";
import { sparseAt } from "./latent.ts";
import { at, change, readKeys, type Settings, settle } from "./settings.ts";

// Grouped heads behind an indexer, and MLA behind one with more than DeepSeek-V3.2 has.

const grouped = gqa.forms.grouped!;

/**
 * Grouped heads that attend to the m keys which j query heads of i dims choose by one index key of each token, or of each of
 * `keeping.indexEvery` tokens.
 */
export const indexedGqa: Costed = {
  ...gqa,
  name: "GQA-indexed",
  source: "MiniMax-M3 (arXiv 2606.13392); transformers, minimax_m3_vl and qwen4_exp",
  window: false,
  rules: (z) => [
    ...gqa.rules(z),
    [(z.i ?? 0) > 0, "i", "an index key has at least one dim"],
    [(z.j ?? 0) > 0, "j", "the indexer has at least one head"],
    [(z.m ?? 0) > 0, "m", "at least one key is selected"],
  ],
  params: (z) => ({ ...gqa.params(z), wQI: "d j i", wKI: "d i", gQI: "i", gKI: "i" }),
  cache: (z) => ({ ...gqa.cache(z), ki: "i" }),
  reads: (z, context) => (z.i ?? 0) * context + z.g * (z.e + z.v) * Math.min(z.m ?? 0, context),
  forms: {
    grouped: {
      ...grouped,
      cost(z) {
        const { pair, ...plain } = grouped.cost(z);
        const [i, j] = [z.i ?? 0, z.j ?? 0];
        return { ...plain, token: plain.token + 2 * z.d * i * (j + 1), pair: 2 * i * j, selected: pair };
      },
    },
  },
};

/** The same with a gate on each head's output. */
export const gatedIndexedGqa = addGate(indexedGqa);

const flags = z.array(z.number().int().min(0).max(1)).max(limits.layers);
const blockSchema = z.object({
  sparse_attention_config: z
    .object({
      use_sparse_attention: z.boolean().nullish(),
      sparse_attention_freq: flags,
      sparse_index_dim: count(limits.width).nullish(),
      sparse_num_index_heads: count(limits.heads).nullish(),
      sparse_block_size: count(2 ** 20).nullish(),
      sparse_topk_blocks: count(2 ** 20).nullish(),
      sparse_local_block: z
        .number()
        .int()
        .min(0)
        .max(2 ** 20)
        .nullish(),
      sparse_init_block: z
        .number()
        .int()
        .min(0)
        .max(2 ** 20)
        .nullish(),
      // Index values, which no layer of the released model has.
      sparse_disable_index_value: flags.nullish(),
      sparse_score_type: z.literal("max").nullish(),
    })
    .nullish(),
  index_block_size: count(2 ** 20).nullish(),
  index_topk_blocks: count(2 ** 20).nullish(),
  index_local_blocks: z
    .number()
    .int()
    .min(0)
    .max(2 ** 20)
    .nullish(),
  attention_output_gate: z.boolean().nullish(),
  num_mtp_modules: count(limits.layers).nullish(),
});

/** A layer of MiniMax-M3: grouped heads, in most layers over the blocks of tokens that an indexer chooses. */
export function blocksAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, blockSchema);
  const sparse = keys.sparse_attention_config ?? undefined;
  settle(s, "index_head_dim", "index_n_heads");
  const plain = groupedAt(
    change(s, { layer_types: null }),
    i,
    keys.attention_output_gate ? { ...traits, gate: true } : traits,
  );
  if (!choosesBlocks(s, i, sparse && sparse.use_sparse_attention !== false ? sparse.sparse_attention_freq : []))
    return plain;
  const values = sparse?.sparse_disable_index_value;
  if (values && !at(values, i, "num_hidden_layers"))
    throw new FormatError(
      `sparse_attention_config.sparse_disable_index_value: got 0 for layer ${i}, expected 1; index values are not planned for`,
    );
  const block = sparse?.sparse_block_size ?? keys.index_block_size ?? 128;
  const blocks = sparse?.sparse_topk_blocks ?? keys.index_topk_blocks ?? 16;
  const sizes: Sizes = {
    ...plain.attention.sizes,
    i: sparse?.sparse_index_dim ?? s.index_head_dim ?? 128,
    j: sparse?.sparse_num_index_heads ?? s.index_n_heads ?? 4,
    m: blocks * block,
  };
  return { ...plain, attention: { variant: keys.attention_output_gate ? gatedIndexedGqa : indexedGqa, sizes } };
}

function choosesBlocks(s: Settings, i: number, freq: readonly number[]): boolean {
  if (!s.layer_types) return freq.length > 0 && at(freq, i, "num_hidden_layers") === 1;
  const type = at(s.layer_types, i, "layer_types");
  if (type !== "minimax_m3_sparse" && type !== "full_attention")
    throw new FormatError(
      `layer_types: got ${formatJson(type)}, expected minimax_m3_sparse or full_attention; this architecture has no other`,
    );
  return type === "minimax_m3_sparse";
}

const streamSchema = z.object({
  hc_mult: count(64).nullish(),
  hc_magnitude: z.number().nullish(),
  enable_ihc: z.boolean().nullish(),
  gated_mla: z.boolean().nullish(),
  learnable_sink: z.boolean().nullish(),
  use_dsa: z.boolean().nullish(),
});

/**
 * A layer of Hy4: MLA behind an indexer, of its own or an earlier layer's, with sinks and a gate on the heads' outputs. Its residual
 * is streams that are mixed without a matrix between them: two vectors of weights and their biases and factors for each half.
 */
export function hunyuanAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { hc_mult: m = 4, ...keys } = readKeys(config, streamSchema);
  const { attention } = sparseAt(s, i, traits, config);
  const sinks = keys.learnable_sink === false ? 0 : attention.sizes.h;
  const streams = m ?? 4;
  const mixed = keys.enable_ihc === false ? 0 : 2 * (2 * streams * (streams * s.hidden_size + 1) + 2);
  const variant = keys.gated_mla === false ? attention.variant : addGate(attention.variant);
  return { attention: { ...attention, variant }, extra: sinks + mixed };
}

/** What brings Hy4's streams together before the last norm. */
export function hunyuanExtra(s: Settings, config: Config): number {
  const { hc_mult: m, enable_ihc: mixes } = readKeys(config, streamSchema);
  const streams = m ?? 4;
  return mixes === false ? 0 : streams * (streams * s.hidden_size + 1) + 1;
}
