import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { outerFlops, outputParams, rankRules } from "../../attention/variant/rank.ts";
import type { Feed } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { feedAt } from "./feed.ts";
import type { Attending, Traits } from "./grouped.ts";
import { mark } from "./ledger.ts";
import { at, change, need, readKeys, type Settings, settle, sizeAt } from "./settings.ts";

// DeepSeek-V4 (arXiv 2606.19348): one entry per token is key and value of all heads (sharing S2). Every layer sees the last
// tokens whole; most see those before in entries that stand for 4 tokens, of which an indexer chooses some, or for 128.

const source = "DeepSeek-V4 (arXiv 2606.19348), section 2.3; transformers, deepseek_v4";
/** Two series of compressed entries where windows overlap, as they do with an indexer. */
const series = (z: Sizes) => (z.m ? 2 : 1);

/** What makes entries of i or e dims of w tokens: values, weights and the weights' bias by place, once or twice, and a norm. */
const compressor = (z: Sizes) => {
  const twice = z.m ? "d e" : undefined;
  const bias = z.m ? "w e" : undefined;
  return { wPV: "d e", wPG: "d e", bP: "w e", wPV2: twice, wPG2: twice, bP2: bias, gP: "e" } as const;
};

const indexer = {
  wIV: "d i",
  wIG: "d i",
  bI: "w i",
  wIV2: "d i",
  wIG2: "d i",
  bI2: "w i",
  gI: "i",
  wQI: "q j i",
  wWI: "d j",
} as const;

const indexFlops = (z: Sizes) => 2 * (4 * z.d * (z.i ?? 0) + z.q * (z.j ?? 0) * (z.i ?? 0) + z.d * (z.j ?? 0));

/** DeepSeek-V4's attention over windows (w = 0), over entries of w tokens, or over the m of those that an indexer chooses. */
export const compressed: Costed = {
  name: "V4",
  source,
  features: ["entryNorm", "sinks"],
  rules: (z) => [
    [z.g === 1, "g", "all heads share one entry"],
    [z.q > 0 && z.o > 0, "q", "queries and outputs have a bottleneck"],
    [z.v === z.e, "v", `the value is the key (n + r = ${z.e})`],
    ...rankRules(z),
  ],
  params: (z) => ({
    wDQ: "d q",
    gQ: "q",
    wQ: "q h e",
    wC: "d e",
    gC: "e",
    aSink: "h",
    ...outputParams(z),
    ...(z.w && compressor(z)),
    ...(z.m && indexer),
  }),
  cache: (z) => ({ c: "e", ...(z.m && { ki: "i" }) }),
  reads: (z, context) => (z.m ? (z.i ?? 0) * context + z.e * Math.min(z.m, context) : z.e * context),
  forms: {
    shared: {
      about: "multi-query: one entry is key and value of all heads",
      cost(z) {
        const whole = 4 * z.h * z.e;
        const token = outerFlops(z) + 2 * z.d * z.e + (z.w ? 4 * series(z) * z.d * z.e : 0) + (z.m ? indexFlops(z) : 0);
        return z.m
          ? { token, cached: 0, pair: 2 * (z.j ?? 0) * ((z.i ?? 0) + 1), selected: whole }
          : { token, cached: 0, pair: whole };
      },
    },
  },
};

const ratios = z
  .array(
    z
      .number()
      .int()
      .min(0)
      .max(2 ** 20),
  )
  .max(2 * limits.layers);
const sizesSchema = z.object({
  o_groups: count(limits.heads),
  o_lora_rank: count(limits.width),
  hc_mult: count(64).nullish(),
});
const schema = z.object({
  compress_ratios: ratios.nullish(),
  compress_rates: z
    .strictObject({
      sliding_attention: z.number().nullish(),
      compressed_sparse_attention: count(2 ** 20).nullish(),
      heavily_compressed_attention: count(2 ** 20).nullish(),
    })
    .nullish(),
  num_hash_layers: z.number().int().min(0).max(limits.layers).nullish(),
  hc_mult: count(64).nullish(),
});

const kinds = {
  sliding_attention: 0,
  compressed_sparse_attention: 4,
  heavily_compressed_attention: 128,
} as const;
const isKind = (kind: string): kind is keyof typeof kinds => Object.hasOwn(kinds, kind);

/** Tokens that an entry of layer i stands for; 0 where there is only the window. */
function ratioAt(s: Settings, i: number, keys: z.infer<typeof schema>, config: Config): number {
  const { compress_ratios: ratios, compress_rates: rates } = keys;
  mark(
    config,
    Object.keys(kinds).map((kind) => `compress_rates.${kind}`),
  );
  if (ratios) {
    if (i >= ratios.length)
      throw new FormatError(
        `compress_ratios: got ${ratios.length} entries, expected one for each of ${s.num_hidden_layers} layers; correct the config`,
      );
    return ratios[i]!;
  }
  // What transformers takes where a config has neither list.
  const plain = i < 2 || i % 2 === 0 ? "heavily_compressed_attention" : "compressed_sparse_attention";
  const kind = s.layer_types ? at(s.layer_types, i, "layer_types") : plain;
  if (!isKind(kind))
    throw new FormatError(
      `layer_types: got ${formatJson(kind)}, expected ${Object.keys(kinds).join(", ")}; this architecture has no other`,
    );
  return kinds[kind] && (rates?.[kind] ?? kinds[kind]);
}

/** Ratios below this one come with an indexer. */
const SPARSE_BELOW = 16;

/** A layer of DeepSeek-V4; its residual is `hc_mult` streams, mixed before and after each half by a matrix of its own. */
export function compressedAt(s: Settings, i: number, _traits: Traits, config: Config): Attending {
  const { sizes, extra, recent } = compressedSizes(s, i, config);
  const every = ratioAt(s, i, readKeys(config, schema), config);
  if (!every) return { attention: { variant: compressed, sizes, window: recent }, extra };
  const index = every < SPARSE_BELOW && {
    i: need(s, "index_head_dim"),
    j: need(s, "index_n_heads"),
    m: need(s, "index_topk"),
  };
  return {
    attention: { variant: compressed, sizes: { ...sizes, w: every, ...index } },
    extra,
    keeping: { every, recent },
  };
}

/** What all layers have, whatever they pool: sizes, the window, and parameters that mix streams. */
export function compressedSizes(s: Settings, i: number, config: Config) {
  const keys = readKeys(config, sizesSchema);
  const [d, h] = [s.hidden_size, sizeAt(s, "num_attention_heads", i)];
  const [e, r, recent] = [need(s, "head_dim"), need(s, "qk_rope_head_dim"), need(s, "sliding_window")];
  if (r >= e) throw new FormatError(`qk_rope_head_dim: got ${r}, expected less than head_dim ${e}; correct the config`);
  // Key and value are one entry for all heads, whatever the config says of groups.
  settle(s, "num_key_value_heads", "v_head_dim");
  const [q, o] = [need(s, "q_lora_rank"), keys.o_lora_rank];
  const sizes: Sizes = { d, h, g: 1, n: e - r, r, e, v: e, c: 0, q, o, b: keys.o_groups };
  return { sizes, extra: 2 * mixing(d, keys.hc_mult ?? 4), recent };
}

/** What mixes m streams before and after a half: (2 + m) m outputs of all streams, as many biases, three factors. */
export const mixing = (d: number, m: number) => (2 + m) * m * (m * d + 1) + 3;

/** What brings the streams together before the last norm. */
export function compressedExtra(s: Settings, config: Config): number {
  const m = readKeys(config, schema).hc_mult ?? 4;
  return m * (m * s.hidden_size + 1) + 1;
}

/** Experts in every layer; the first layers choose theirs by a table of token ids, which is no parameter, and have no correction. */
export function compressedFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  const { num_hash_layers: hashed, hc_mult: m } = readKeys(config, schema);
  const table = s.mlp_layer_types ? at(s.mlp_layer_types, i, "mlp_layer_types") === "hash_moe" : i < (hashed ?? 3);
  const { correction, ...rest } = traits;
  const feed = feedAt(
    change(s, { mlp_layer_types: null }),
    i,
    table ? rest : { ...rest, ...(correction && { correction }) },
  );
  const streams = m ?? 4;
  return { ...feed, flops: feed.flops + 4 * (2 + streams) * streams * streams * s.hidden_size };
}
