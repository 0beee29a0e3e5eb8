import { z } from "zod";
import type { Draft, Feed, LayerKind } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { taps } from "../../family/hybrid.ts";
import { extend } from "./extend.ts";
import { dense, isSparse, mixture } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { at, change, readKeys, type Settings, settle, sizeAt } from "./settings.ts";

// Inkling (transformers, inkling): grouped heads with a bias by distance, windows with heads of their own number, and four short
// convolutions in each layer: over keys, values, and what leaves either half.

const heads = count(limits.heads);
const namesSchema = z.object({
  num_hidden_layers: count(limits.layers),
  local_layer_ids: z.array(z.number().int().min(0).max(limits.layers)).max(limits.layers).nullish(),
  layer_types: z
    .array(z.enum(["hybrid", "hybrid_sliding"]))
    .max(limits.layers)
    .nullish(),
  sliding_window_size: count(limits.vocabulary).nullish(),
  dense_mlp_idx: z.number().int().min(0).max(limits.layers).nullish(),
  dense_intermediate_size: count(limits.width * 8).nullish(),
});

/** Which layers have a window and which have experts, under the names that others have for it. */
export function inkling(config: Config): Config {
  const keys = readKeys(config, namesSchema);
  const each = <T>(what: (i: number) => T) => Array.from({ length: keys.num_hidden_layers }, (_, i) => what(i));
  const local = keys.local_layer_ids && new Set(keys.local_layer_ids);
  const near = (i: number) => (local ? local.has(i) : (i + 1) % 6 !== 0);
  const kinds = keys.layer_types ?? each((i) => (near(i) ? "hybrid_sliding" : "hybrid"));
  const first = keys.dense_mlp_idx ?? 0;
  const wide = keys.dense_intermediate_size;
  return {
    ...config,
    layer_types: kinds.map((kind) => (kind === "hybrid" ? "full_attention" : "sliding_attention")),
    sliding_window: keys.sliding_window_size ?? 512,
    mlp_layer_types: config.mlp_layer_types ?? each((i) => (i < first ? "dense" : "sparse")),
    ...(wide && {
      moe_intermediate_size: config.moe_intermediate_size ?? config.intermediate_size,
      intermediate_size: wide,
    }),
  };
}

const schema = z.object({
  swa_num_attention_heads: heads.nullish(),
  swa_num_key_value_heads: heads.nullish(),
  swa_head_dim: count(limits.width).nullish(),
  d_rel: count(limits.width).default(16),
  rel_extent: count(limits.vocabulary).default(1024),
  use_sconv: z.literal(true).nullish(),
  conv_kernel_size: taps.nullish(),
  sconv_kernel_size: taps.nullish(),
  // Four short convolutions in a layer, as counted here.
  number_of_conv_states: z.literal(4).nullish(),
  // A factor of the queries that grows with the position.
  log_scaling_n_floor: z.number().nullish(),
});

/** A layer's attention with what convolutions keep: the last inputs of each. */
export function inklingAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, schema);
  const near = at(s.layer_types!, i, "layer_types") === "sliding_attention";
  const own = near
    ? change(s, {
        num_attention_heads: keys.swa_num_attention_heads ?? s.num_attention_heads,
        num_key_value_heads: keys.swa_num_key_value_heads ?? s.num_key_value_heads,
        head_dim: keys.swa_head_dim ?? s.head_dim,
      })
    : s;
  const { attention, extra = 0, ...rest } = groupedAt(own, i, traits);
  const w = keys.conv_kernel_size ?? keys.sconv_kernel_size ?? 4;
  const distances = near ? attention.window! : keys.rel_extent;
  const variant = extend(attention.variant, `${attention.variant.name}-relative`, {
    params: () => ({ convK: "w g e", convV: "w g v", convO: "w d", convF: "w d" }),
    state: () => ({ convK: "w-1 g e", convV: "w-1 g v", convO: "w-1 d", convF: "w-1 d" }),
    token: (z) => 2 * z.d * z.h * keys.d_rel + 2 * w * (z.g * (z.e + z.v) + 2 * z.d),
  });
  return {
    attention: { ...attention, variant, sizes: { ...attention.sizes, w } },
    // A feature by distance of each head, and what these make of a distance.
    extra: extra + attention.sizes.h * s.hidden_size * keys.d_rel + keys.d_rel * distances,
    ...rest,
  };
}

function denseFeed(s: Settings, i: number): Feed {
  const plain = dense({ d: s.hidden_size, f: sizeAt(s, "intermediate_size", i) });
  return { ...plain, always: plain.always + 1 };
}

/** A dense MLP with a factor, or experts whose router has rows for shared ones too. */
export function inklingFeed(s: Settings, i: number): Feed {
  const d = s.hidden_size;
  settle(s, "mlp_layer_types");
  if (!isSparse(s, i)) return denseFeed(s, i);
  const f = sizeAt(s, "moe_intermediate_size", i);
  const shared = at<number>(s.n_shared_experts ?? 0, i, "n_shared_experts");
  const experts = at<number>(s.num_experts!, i, "num_experts");
  const feed = mixture({ d, f }, { experts, chosen: sizeAt(s, "num_experts_per_tok", i), shared: shared * f });
  return { ...feed, always: feed.always + shared * d + experts + 1, flops: feed.flops + 2 * d * shared };
}

const draftSchema = z.object({
  mtp_local_layer_ids: z.array(z.number().int().min(0).max(limits.layers)).max(limits.layers).nullish(),
});

/** Layers that propose tokens: dense, those named with a window; each joins a state and an embedding, a norm before either. */
export function nextInkling(s: Settings, layers: readonly LayerKind[], config: Config): Draft | undefined {
  const { mtp_local_layer_ids: ids } = readKeys(config, draftSchema);
  const count = s.num_nextn_predict_layers ?? 0;
  if (!count) return undefined;
  const d = s.hidden_size;
  const feed = denseFeed(s, 0);
  const near = new Set(ids?.filter((id) => id < count)).size;
  const like = (windowed: boolean) =>
    layers.find(({ attention }) => (attention.window !== undefined) === windowed) ?? layers[0]!;
  const kinds = [
    { ...like(true), feed, count: near },
    { ...like(false), feed, count: count - near },
  ];
  return { name: "MTP", layers: kinds.filter((kind) => kind.count > 0), extra: count * (2 * d * d + 2 * d) };
}

const visionSchema = z.object({
  moe_num_experts: count(limits.experts).nullish(),
  moe_intermediate_size: z.union([count(limits.width), z.array(count(limits.width)).length(2)]),
  moe_num_shared_experts: z.number().int().min(0).max(limits.experts).nullish(),
  moe_k: count(limits.experts).nullish(),
});

/** Ernie-4.5-VL: experts of text, which have the first width, and as many narrower ones of images, each with a router. */
export function ernieFeed(s: Settings, i: number, _traits: Traits, config: Config): Feed {
  const d = s.hidden_size;
  const { moe_intermediate_size: widths, ...keys } = readKeys(config, visionSchema);
  if (!isSparse(s, i)) return dense({ d, f: sizeAt(s, "intermediate_size", i) });
  const [text, seen] = typeof widths === "number" ? [widths, widths] : (widths as [number, number]);
  const experts = keys.moe_num_experts ?? 64;
  const shared = text * (keys.moe_num_shared_experts ?? 2);
  const feed = mixture({ d, f: text }, { experts, chosen: keys.moe_k ?? 6, shared });
  // A token of text visits none of the experts of images.
  return { ...feed, always: feed.always + 2 * experts + d * experts + experts * 3 * d * seen };
}
