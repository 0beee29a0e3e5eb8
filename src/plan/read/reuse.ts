import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import type { Feed, Table } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { compressed, compressedAt, compressedFeed, compressedSizes } from "./compressed.ts";
import type { Attending, Traits } from "./grouped.ts";
import { at, need, readKeys, type Settings } from "./settings.ts";

// DeepSeek-V4.1 (transformers, deepseek_v41): all layers have a window, and most read pooled entries that a few layers make, at
// places that a few layers' indexers choose by keys which lie with those entries.

/** What a layer does for those after it: make entries, keys of an indexer beside them, and run an indexer. */
interface Role {
  readonly name: string;
  readonly makes: boolean;
  readonly keys: boolean;
  readonly scores: boolean;
}

/** Attention over a window and over chosen pooled entries, as DeepSeek-V4's but for who makes them. */
function reusing({ name, makes, keys, scores }: Role): Costed {
  const window = (z: Sizes): Sizes => ({ ...z, w: 0, m: 0 });
  const pools = (z: Sizes) => makes && (z.w ?? 0) > 1;
  return {
    ...compressed,
    name,
    source: "transformers, deepseek_v41",
    params: (z) => ({
      ...compressed.params(window(z)),
      ...(makes && { wPV: "d e", wPG: pools(z) ? "d e" : undefined, gP: "e" }),
      ...(keys && { wKI: "e i", gI: "i" }),
      ...(scores && { wQI: "q j i", wWI: "d j" }),
    }),
    cache: () => ({ c: "e", ...(scores && { ki: "i" }) }),
    reads: (z, context) => (scores ? (z.i ?? 0) * context : 0) + z.e * Math.min(z.m ?? 0, context),
    forms: {
      shared: {
        about: "multi-query: one entry is key and value of all heads",
        cost(z) {
          const { e, d, q, i = 0, j = 0 } = z;
          const plain = compressed.forms.shared!.cost(window(z));
          const made = makes ? 2 * d * e * (pools(z) ? 2 : 1) + (keys ? 2 * e * i : 0) : 0;
          const index = scores ? 2 * (q * j * i + d * j) : 0;
          return {
            token: plain.token + made + index,
            cached: 0,
            pair: scores ? 2 * j * (i + 1) : 0,
            selected: 4 * z.h * e,
          };
        },
      },
    },
  };
}

const roles = {
  source: reusing({ name: "V4.1-source", makes: true, keys: true, scores: true }),
  unindexed: reusing({ name: "V4.1-unindexed", makes: true, keys: false, scores: false }),
  index: reusing({ name: "V4.1-index", makes: false, keys: false, scores: true }),
  reader: reusing({ name: "V4.1-reader", makes: false, keys: false, scores: false }),
};

const layerNumber = z.number().int().min(0).max(limits.layers);
const layerNumbers = z.array(layerNumber).max(limits.layers);
const schema = z.object({
  compress_ratios: z
    .array(
      z
        .number()
        .int()
        .min(0)
        .max(2 ** 20),
    )
    .max(2 * limits.layers),
  kv_source_layer_ids: layerNumbers,
  index_source_layer_ids: layerNumbers,
  // Later indexers score inside blocks that this layer's chose; all keys are kept and scored all the same.
  candidate_source_layer_id: z.number().int().min(-1).max(limits.layers).nullish(),
  candidate_topk_blocks: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .nullish(),
  candidate_block_size: count(2 ** 31).nullish(),
  hc_mult: count(64).nullish(),
});

/** A layer of DeepSeek-V4, or of V4.1 under its name, which only the keys tell apart. */
export function eitherAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  return config.kv_source_layer_ids ? reusingAt(s, i, traits, config) : compressedAt(s, i, traits, config);
}

/** A layer of DeepSeek-V4.1. Throws FormatError where a layer reads entries or keys that no layer at or before it makes. */
export function reusingAt(s: Settings, i: number, _traits: Traits, config: Config): Attending {
  const { compress_ratios: ratios, kv_source_layer_ids: makers, ...keys } = readKeys(config, schema);
  const indexers = keys.index_source_layer_ids;
  const { extra, sizes, recent } = compressedSizes(s, i, config);
  const beyond = [...makers, ...indexers].find((id) => id >= s.num_hidden_layers);
  if (beyond !== undefined)
    throw new FormatError(
      `kv_source_layer_ids, index_source_layer_ids: got ${beyond}, expected layers from 0 to ${s.num_hidden_layers - 1}; correct the config`,
    );
  const chooser = keys.candidate_source_layer_id ?? -1;
  if (chooser !== -1 && !indexers.includes(chooser))
    throw new FormatError(
      `candidate_source_layer_id: got ${chooser}, expected -1 or one of index_source_layer_ids [${indexers}]; correct the config`,
    );
  const every = at(ratios, i, "num_hidden_layers");
  if (!every) {
    if (makers.includes(i))
      throw new FormatError(
        `compress_ratios: got 0 for layer ${i}, which kv_source_layer_ids names, expected 1 or more`,
      );
    return { attention: { variant: compressed, sizes, window: recent }, extra };
  }
  const near = (ids: readonly number[], key: string) => {
    const found = ids.filter((id) => id <= i);
    if (found.length === 0)
      throw new FormatError(
        `${key}: got no layer at or before ${i}, expected one, since its compress_ratios is ${every}; correct the config`,
      );
    return Math.max(...found);
  };
  const owner = near(makers, "kv_source_layer_ids");
  if (ratios[owner] !== every)
    throw new FormatError(
      `compress_ratios: got ${every} for layer ${i} and ${ratios[owner]} for layer ${owner}, whose entries it reads, expected the same`,
    );
  near(indexers, "index_source_layer_ids");
  const scores = indexers.includes(i);
  const role = i === owner ? (scores ? "source" : "unindexed") : scores ? "index" : "reader";
  const keysOf =
    role === "index"
      ? near(
          makers.filter((id) => indexers.includes(id)),
          "index_source_layer_ids",
        )
      : undefined;
  return {
    attention: {
      variant: roles[role],
      sizes: {
        ...sizes,
        w: every,
        m: need(s, "index_topk"),
        ...((scores || i === owner) && { i: need(s, "index_head_dim"), j: need(s, "index_n_heads") }),
      },
    },
    extra,
    keeping: {
      every,
      recent,
      ...(i !== owner && { owner }),
      ...(keysOf !== undefined && { indexOwner: keysOf }),
    },
  };
}

const engramSchema = z.object({
  engram_layer_ids: layerNumbers.nullish(),
  engram_num_embeddings: z
    .array(count(2 ** 40))
    .max(limits.layers)
    .nullish(),
  engram_n_heads: count(limits.heads).default(8),
  engram_head_dim: count(limits.width).default(256),
  engram_max_ngram_size: z.number().int().min(2).max(64).default(4),
  engram_vocab_size: count(2 ** 40).nullish(),
  engram_compressed_vocab_size: count(2 ** 40).nullish(),
  engram_pad_id: layerNumber.nullish(),
});

/** Numbers that a token looks up in one table: a row for each head of each n-gram from two tokens on. */
const lookedUp = (keys: z.infer<typeof engramSchema>) =>
  (keys.engram_max_ngram_size - 1) * keys.engram_n_heads * keys.engram_head_dim;

/** Router tables of V4 are in no V4.1. */
export const unhashed = (config: Config): Config => ({ num_hash_layers: 0, ...config });

/** The tables of n-grams: Engram, one for each layer that has it. */
export function engramTables(_s: Settings, config: Config): readonly Table[] {
  const keys = readKeys(config, engramSchema);
  const [layers, rows] = [keys.engram_layer_ids ?? [], keys.engram_num_embeddings ?? []];
  if (layers.length !== rows.length)
    throw new FormatError(
      `engram_num_embeddings: got ${rows.length} entries, expected one for each of ${layers.length} engram_layer_ids; correct the config`,
    );
  const read = lookedUp(keys);
  return layers.map((layer, i) => ({
    name: `Engram of layer ${layer}`,
    parameters: rows[i]! * keys.engram_head_dim,
    read,
  }));
}

/** Experts in every layer, and in those with a table of n-grams a projection of what is looked up: a key per stream and a value. */
export function reusingFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  const feed = compressedFeed(s, i, traits, config);
  const keys = readKeys(config, engramSchema);
  if (!keys.engram_layer_ids?.includes(i)) return feed;
  const m = readKeys(config, schema).hc_mult ?? 4;
  const projection = lookedUp(keys) * s.hidden_size * (m + 1);
  return { ...feed, always: feed.always + projection + 2 * m * s.hidden_size, flops: feed.flops + 2 * projection };
}
