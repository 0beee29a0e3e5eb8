import { z } from "zod";
import type { Feature, Sizes } from "../../attention/define.ts";
import { type Config, count, limits, mustBe } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { mamba1, mamba2, mambaBeside, rwkv7, shortConvolution } from "./mamba.ts";
import { change, readKeys, type Settings, settle } from "./settings.ts";
import { kindAt } from "./window.ts";

// Models whose layers are Mamba, Mamba-2 or short convolutions, and some grouped heads.

const width = count(limits.width);
const heads = count(limits.heads * 8);
const taps = z.number().int().min(2).max(64);
const layerNumbers = z.array(z.number().int().min(0).max(limits.layers)).max(limits.layers);

/** Sizes of Mamba-2 layers, under the names of Bamba and its kin or of Nemotron-H and Codestral Mamba. */
const mambaSchema = z.object({
  mamba_n_heads: heads.nullish(),
  mamba_num_heads: heads.nullish(),
  num_heads: heads.nullish(),
  mamba_d_head: z.union([width, z.literal("auto")]).nullish(),
  mamba_head_dim: width.nullish(),
  mamba_n_groups: heads.nullish(),
  n_groups: heads.nullish(),
  mamba_d_state: width.nullish(),
  ssm_state_size: width.nullish(),
  state_size: width.nullish(),
  mamba_d_conv: taps.nullish(),
  conv_kernel: taps.nullish(),
  mamba_expand: count(64).nullish(),
  expand: count(64).nullish(),
  mamba_d_ssm: width.nullish(),
  mamba_conv_bias: z.boolean().nullish(),
  use_conv_bias: z.boolean().nullish(),
  mamba_proj_bias: z.literal(false).nullish(),
  mamba_rms_norm: z.boolean().nullish(),
  // How many tokens one kernel takes at a time, and in which type it keeps the state.
  mamba_chunk_size: count(2 ** 20).nullish(),
  chunk_size: count(2 ** 20).nullish(),
  mamba_ssm_cache_dtype: z.string().max(40).nullish(),
  mamba_hidden_act: z.string().max(40).nullish(),
  mamba_norm_before_gate: z.boolean().nullish(),
  use_mamba_kernels: z.boolean().nullish(),
  mamba_use_mlp: z.literal(true).nullish(),
});

/** Heads, their width, rows and groups of a Mamba-2 layer. Throws FormatError where they do not fit together. */
export function mambaDims(s: Settings, config: Config) {
  const keys = readKeys(config, mambaSchema);
  const inner = keys.mamba_d_ssm ?? s.hidden_size * (keys.mamba_expand ?? keys.expand ?? 2);
  const given = keys.mamba_n_heads ?? keys.mamba_num_heads ?? keys.num_heads ?? undefined;
  const own =
    keys.mamba_head_dim ?? (keys.mamba_d_head === "auto" ? undefined : keys.mamba_d_head) ?? s.head_dim ?? undefined;
  const count = given ?? (own && inner / own);
  const dim = keys.mamba_d_head === "auto" || own === undefined ? inner / (count ?? 0) : own;
  if (!count || !Number.isInteger(count) || !Number.isInteger(dim))
    throw new FormatError(
      `mamba_n_heads: got ${given ?? "nothing"} for ${inner} channels, expected heads that divide them; correct the config`,
    );
  return {
    count,
    dim,
    groups: keys.mamba_n_groups ?? keys.n_groups ?? 1,
    rows: keys.mamba_d_state ?? keys.ssm_state_size ?? keys.state_size ?? 128,
    w: keys.mamba_d_conv ?? keys.conv_kernel ?? 4,
    biased: (keys.mamba_conv_bias ?? keys.use_conv_bias) !== false,
    normed: keys.mamba_rms_norm !== false,
  };
}

const featured = (...features: readonly (Feature | false)[]) =>
  Object.fromEntries(features.flatMap((name) => (name ? [[name, true]] : []))) as NonNullable<Sizes["with"]>;

/** A layer of Mamba-2. */
export function mambaAt(s: Settings, _i: number, _traits: Traits, config: Config): Attending {
  const { count: h, dim: v, groups: g, rows: n, w, biased, normed } = mambaDims(s, config);
  // Heads of attention, where other layers have it.
  settle(s, "num_attention_heads", "num_key_value_heads", "head_dim");
  const features = featured(biased && "convBias", normed && "outputNorm");
  const sizes: Sizes = { d: s.hidden_size, h, g, n, r: 0, e: n, v, c: 0, q: 0, o: 0, w, with: features };
  return { attention: { variant: mamba2, sizes } };
}

const listSchema = z.object({
  attn_layer_indices: layerNumbers.nullish(),
  layers_block_type: z.array(z.string().max(40)).max(limits.layers).nullish(),
});

/** A layer of Granite 4 or Bamba: Mamba-2, or grouped heads where a list says so. */
export function graniteHybridAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { attn_layer_indices: listed, layers_block_type: types } = readKeys(config, listSchema);
  const named = types ? change(s, { layer_types: types }) : s;
  const attends = named.layer_types
    ? !["mamba", "linear_attention"].includes(
        kindAt(named, i, "mamba", "linear_attention", "attention", "full_attention"),
      )
    : (listed ?? []).includes(i);
  return attends ? groupedAt(change(s, { layer_types: null }), i, traits) : mambaAt(s, i, traits, config);
}

/** A layer of Falcon-H1: Mamba-2 and grouped heads side by side. */
export function besideAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const own = groupedAt(s, i, traits);
  const { count: j, dim: l, groups: m, rows: k, w, biased } = mambaDims(s, config);
  const { mamba_rms_norm: normed } = readKeys(config, mambaSchema);
  const features = featured(biased && "convBias", normed === true && "outputNorm");
  const sizes = { ...own.attention.sizes, j, l, m, k, w, with: { ...own.attention.sizes.with, ...features } };
  return { ...own, attention: { ...own.attention, variant: mambaBeside, sizes } };
}

const jambaSchema = z.object({
  attn_layer_period: count(limits.layers).default(8),
  attn_layer_offset: z.number().int().min(0).max(limits.layers).default(4),
  mamba_d_state: width.default(16),
  mamba_d_conv: taps.default(4),
  mamba_expand: count(64).default(2),
  mamba_dt_rank: z.union([width, z.literal("auto")]).default("auto"),
  mamba_conv_bias: z.boolean().default(true),
  mamba_proj_bias: z.literal(false).nullish(),
  use_mamba_kernels: z.boolean().nullish(),
});

/** A layer of Jamba: Mamba with norms on what it makes of its input, and one in so many grouped heads without positions. */
export function jambaAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, jambaSchema);
  if (i % keys.attn_layer_period === keys.attn_layer_offset) return groupedAt(s, i, traits);
  const d = s.hidden_size;
  const [v, n] = [keys.mamba_expand * d, keys.mamba_d_state];
  const c = keys.mamba_dt_rank === "auto" ? Math.ceil(d / 16) : keys.mamba_dt_rank;
  const features = featured(keys.mamba_conv_bias && "convBias", "qkNorm");
  const sizes: Sizes = { d, h: 1, g: 1, n, r: 0, e: n, v, c, q: 0, o: 0, w: keys.mamba_d_conv, with: features };
  return { attention: { variant: mamba1, sizes } };
}

const convolutionSchema = z.object({
  conv_L_cache: taps.default(3),
  conv_bias: z.boolean().default(false),
  full_attn_idxs: layerNumbers.nullish(),
  conv_dim: width.nullish(),
  conv_dim_out: width.nullish(),
  num_heads: heads.nullish(),
});

/** A layer of LFM2: a short convolution between gates, or grouped heads. */
export function convolutionAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, convolutionSchema);
  const attends = s.layer_types
    ? kindAt(s, i, "conv", "full_attention") !== "conv"
    : (keys.full_attn_idxs ?? []).includes(i);
  if (attends) return groupedAt(change(s, { layer_types: null }), i, traits);
  const d = s.hidden_size;
  mustBe("conv_dim", keys.conv_dim, d, "hidden_size");
  mustBe("conv_dim_out", keys.conv_dim_out, d, "hidden_size");
  const features = featured(keys.conv_bias && "convBias");
  const sizes: Sizes = {
    d,
    h: 1,
    g: 1,
    n: d,
    r: 0,
    e: d,
    v: d,
    c: 0,
    q: 0,
    o: 0,
    w: keys.conv_L_cache,
    with: features,
  };
  return { attention: { variant: shortConvolution, sizes } };
}

const rwkvSchema = z.object({
  decay_low_rank_dim: width,
  a_low_rank_dim: width,
  v_low_rank_dim: width,
  gate_low_rank_dim: width,
});

/** A layer of RWKV-7: heads with a square state; values of all layers but the first are mixed with those of the first. */
export function rwkvAt(s: Settings, i: number, _traits: Traits, config: Config): Attending {
  const {
    decay_low_rank_dim: q,
    a_low_rank_dim: k,
    v_low_rank_dim: l,
    gate_low_rank_dim: o,
  } = readKeys(config, rwkvSchema);
  const [d, n] = [s.hidden_size, s.head_dim ?? 64];
  const h = d / n;
  if (!Number.isInteger(h))
    throw new FormatError(`head_dim: got ${n}, expected a divisor of hidden_size ${d}; correct the config`);
  settle(s, "num_attention_heads");
  const sizes: Sizes = { d, h, g: h, n, r: 0, e: n, v: n, c: 0, q, o, k, l, with: featured(i > 0 && "valueShift") };
  // What the last token's input is mixed by before the MLP, and a norm of the embeddings.
  return { attention: { variant: rwkv7, sizes }, extra: d + (i ? 0 : 2 * d) };
}
