import { z } from "zod";
import type { Keeping } from "../../attention/keeping.ts";
import type { Feed, Table } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { borrowing, twofold } from "./borrow.ts";
import { dense, feedAt, mixture } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { at, change, readKeys, type Settings, sizeAt } from "./settings.ts";
import { windowAt } from "./window.ts";

// Gemma 3n and Gemma 4: the last layers read the keys and values of earlier ones, and tokens have an embedding for each layer.

const schema = z.object({
  num_kv_shared_layers: z.number().int().min(0).max(limits.layers).nullish(),
  hidden_size_per_layer_input: z.number().int().min(0).max(limits.width).nullish(),
  vocab_size_per_layer_input: count(limits.vocabulary).nullish(),
  // Gemma 3n.
  laurel_rank: count(limits.width).nullish(),
  altup_num_inputs: count(64).nullish(),
  // Gemma 4.
  global_head_dim: count(limits.width).nullish(),
  num_global_key_value_heads: count(limits.heads).nullish(),
  attention_k_eq_v: z.boolean().nullish(),
  enable_moe_block: z.boolean().nullish(),
  use_double_wide_mlp: z.boolean().nullish(),
});
type Keys = z.infer<typeof schema>;
/** Keys of both; Gemma 3n's layers have heads of one width, and no experts. */
const common = schema.omit({
  global_head_dim: true,
  num_global_key_value_heads: true,
  attention_k_eq_v: true,
  enable_moe_block: true,
  use_double_wide_mlp: true,
});

const sharedFrom = (s: Settings, { num_kv_shared_layers: shared }: Keys) => s.num_hidden_layers - (shared ?? 0);

/** A layer that borrows reads the last layer of its kind, with a window or without, that has keys and values. */
function ownedAt(s: Settings, i: number, keys: Keys): Keeping | undefined {
  const from = sharedFrom(s, keys);
  if (i < from) return undefined;
  const near = windowAt(s, i) !== undefined;
  for (let owner = from - 1; owner >= 0; owner--) if ((windowAt(s, owner) !== undefined) === near) return { owner };
  throw new FormatError(
    `num_kv_shared_layers: got ${s.num_hidden_layers - from}, expected a layer of each kind before those that borrow; correct the config`,
  );
}

/** A layer of Gemma 3n. The checkpoints have the projections of keys and values of borrowing layers too; they are counted. */
export function gemma3nAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, common);
  const d = s.hidden_size;
  const { laurel_rank: rank = 64, altup_num_inputs: streams = 4 } = keys;
  const own = groupedAt(s, i, traits);
  const [l, a] = [rank ?? 64, streams ?? 4];
  const extra = 2 * d * l + d + (2 * d + a * d + a * a + a ** 3) + perLayerExtra(d, keys);
  return { ...own, extra: (own.extra ?? 0) + extra, keeping: ownedAt(s, i, keys) };
}

/** What takes in the embedding of this layer: down, up and a norm. */
const perLayerExtra = (d: number, { hidden_size_per_layer_input: p }: Keys) => (p ? 2 * d * p + d : 0);

/** The embeddings per layer: of a token a row for each layer. */
export function gemmaTables(s: Settings, config: Config): readonly Table[] {
  const keys = readKeys(config, common);
  const read = s.num_hidden_layers * (keys.hidden_size_per_layer_input ?? 0);
  const parameters = (keys.vocab_size_per_layer_input ?? s.vocab_size) * read;
  return parameters ? [{ name: "embeddings per layer", parameters, read }] : [];
}

/** Parameters outside layers and tables: what projects the hidden state to the size of embeddings per layer, and streams in and out. */
export function gemmaExtra(s: Settings, config: Config): number {
  const keys = readKeys(config, common);
  const d = s.hidden_size;
  const p = keys.hidden_size_per_layer_input ?? 0;
  const streams = keys.altup_num_inputs ? 2 * (keys.altup_num_inputs - 1) * d * d : 0;
  return p ? d * s.num_hidden_layers * p + p + streams : streams;
}

/** A layer of Gemma 4: layers that see everything have wider heads, and may have values that are keys. */
export function gemma4At(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, schema);
  const global = windowAt(s, i) === undefined;
  const equal = global && keys.attention_k_eq_v === true;
  const own = groupedAt(
    change(s, {
      ...(global && keys.global_head_dim && { head_dim: keys.global_head_dim }),
      ...(equal && keys.num_global_key_value_heads && { num_key_value_heads: keys.num_global_key_value_heads }),
    }),
    i,
    traits,
  );
  // A factor on what leaves the layer, and norms around the experts.
  const extra = 1 + (keys.enable_moe_block ? 3 * s.hidden_size : 0) + perLayerExtra(s.hidden_size, keys);
  const keeping = ownedAt(s, i, keys);
  const variant = keeping ? borrowing : equal ? twofold : own.attention.variant;
  return {
    attention: { ...own.attention, variant },
    extra: (own.extra ?? 0) + extra,
    keeping,
  };
}

/** The feed-forward half of a layer of Gemma 4: an MLP, twice as wide where keys are borrowed, and experts beside it in some models. */
export function gemma4Feed(s: Settings, i: number, _traits: Traits, config: Config): Feed {
  const keys = readKeys(config, schema);
  const d = s.hidden_size;
  const wide = keys.use_double_wide_mlp && i >= sharedFrom(s, keys) ? 2 : 1;
  const mlp = dense({ d, f: wide * sizeAt(s, "intermediate_size", i) });
  if (!keys.enable_moe_block || !s.num_experts) return withPerLayer(mlp, d, keys);
  const experts = at<number>(s.num_experts, i, "num_experts");
  const some = mixture(
    { d, f: sizeAt(s, "moe_intermediate_size", i) },
    { experts, chosen: sizeAt(s, "num_experts_per_tok", i), shared: 0, more: d + experts },
  );
  return withPerLayer({ ...some, always: some.always + mlp.always, flops: some.flops + mlp.flops }, d, keys);
}

/** The feed-forward half of a layer of Gemma 3n, with the FLOPs of its streams and of what it adds per layer. */
export function gemma3nFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  const keys = readKeys(config, common);
  const d = s.hidden_size;
  const feed = withPerLayer(feedAt(s, i, traits), d, keys);
  return { ...feed, flops: feed.flops + 4 * d * (keys.laurel_rank ?? 64) };
}

function withPerLayer(feed: Feed, d: number, { hidden_size_per_layer_input: p }: Keys): Feed {
  return p ? { ...feed, flops: feed.flops + 6 * d * p } : feed;
}
