import { z } from "zod";
import type { Draft, Feed } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { dense, feedAt, mixture, withoutFeed } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { noSizes, nothing } from "./mamba.ts";
import { mambaAt } from "./mixers.ts";
import { at, change, readKeys, type Settings, sizeAt } from "./settings.ts";

// NVIDIA's models whose layers are one half of a block each, or whose blocks a search cut to size.

const kinds = { M: "mamba", "*": "attention", "-": "mlp", E: "moe" } as const;
type Kind = (typeof kinds)[keyof typeof kinds];
const isLetter = (letter: string): letter is keyof typeof kinds => Object.hasOwn(kinds, letter);

// Transformers 5 has its own words for the first two.
const list = z
  .array(z.enum(["mamba", "attention", "mlp", "moe", "linear_attention", "full_attention"]))
  .max(limits.layers);
const standard = { linear_attention: "mamba", full_attention: "attention" } as const;
const pattern = z
  .string()
  .max(limits.layers)
  .regex(/^[M*E-]+$/);
const schema = z.object({
  hybrid_override_pattern: pattern.nullish(),
  layers_block_type: list.nullish(),
  mtp_hybrid_override_pattern: pattern.nullish(),
  mtp_layers_block_type: list.nullish(),
  moe_latent_size: count(limits.width).nullish(),
});

/** What layers are, one letter or one name for each. */
const named = (letters: string | null | undefined, names: z.infer<typeof list> | null | undefined): readonly Kind[] =>
  names?.map((name) => (name in standard ? standard[name as keyof typeof standard] : (name as Kind))) ??
  [...(letters ?? "")].flatMap((letter) => (isLetter(letter) ? [kinds[letter]] : []));

/** What layers are by what was read of a config: each of them asks. */
const known = new WeakMap<z.infer<typeof schema>, readonly Kind[]>();

/** What layer i of Nemotron-H is. */
function nemotronKind(i: number, config: Config): Kind {
  const keys = readKeys(config, schema);
  const all = known.get(keys) ?? named(keys.hybrid_override_pattern, keys.layers_block_type);
  known.set(keys, all);
  return at(all, i, "num_hidden_layers");
}

/** As many layers as the pattern has letters, where the config does not count them. */
export function nemotronLayers(config: Config): Config {
  const { hybrid_override_pattern: letters, layers_block_type: names } = readKeys(config, schema);
  const layers = (names ?? letters)?.length;
  return { ...config, num_hidden_layers: config.num_hidden_layers ?? layers };
}

/** A layer of Nemotron-H, which is one of Mamba-2, attention without positions, an MLP or experts. */
export function nemotronAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  return nemotronHalf(nemotronKind(i, config), { s, i, traits, config });
}

interface Place {
  readonly s: Settings;
  readonly i: number;
  readonly traits: Traits;
  readonly config: Config;
}

function nemotronHalf(kind: Kind, { s, i, traits, config }: Place): Attending {
  if (kind === "mamba") return mambaAt(s, i, traits, config);
  if (kind === "attention") return groupedAt(s, i, traits);
  return { attention: { variant: nothing, sizes: noSizes(s.hidden_size) } };
}

/** The MLP or the experts of a layer that is one. */
export function nemotronFeed(s: Settings, i: number, traits: Traits, config: Config): Feed {
  return nemotronExperts(nemotronKind(i, config), { s, i, traits, config });
}

/** Experts work in a space of their own where `moe_latent_size` says how wide it is; the shared one does not. */
function nemotronExperts(kind: Kind, { s, i, traits, config }: Place): Feed {
  if (kind === "mlp") return feedAt(change(s, { num_experts: null }), i, traits);
  if (kind !== "moe") return withoutFeed();
  const plain = feedAt(change(s, { moe_layer_freq: 1, first_k_dense_replace: 0, mlp_layer_types: null }), i, traits);
  const { moe_latent_size: inner } = readKeys(config, schema);
  if (!inner) return plain;
  const [d, f] = [s.hidden_size, sizeAt(s, "moe_intermediate_size", i)];
  const { matrices = 2 } = traits;
  const { experts, chosen } = plain;
  const own = mixture({ d: inner, f, matrices }, { experts, chosen, shared: 0 });
  const between = 2 * d * inner;
  return {
    ...own,
    always: plain.always + between,
    flops: plain.flops - chosen * 2 * matrices * (d - inner) * f + 2 * between,
  };
}

/** The layers that predict a further token, by a pattern of their own; what joins hidden state and embedding is as in DeepSeek-V3. */
export function nemotronDraft(s: Settings, traits: Traits, config: Config): Draft | undefined {
  const keys = readKeys(config, schema);
  const all = named(keys.mtp_hybrid_override_pattern, keys.mtp_layers_block_type);
  const count = s.num_nextn_predict_layers ?? 0;
  if (!count || all.length === 0) return undefined;
  const place = { s, i: s.num_hidden_layers - 1, traits, config };
  const d = s.hidden_size;
  return {
    name: "MTP",
    layers: all.map((kind) => ({
      count,
      attention: nemotronHalf(kind, place).attention,
      feed: nemotronExperts(kind, place),
      extra: d,
    })),
    extra: count * (2 * d * d + 3 * d),
  };
}

const replaced = z.boolean().nullish();
const blockSchema = z.object({
  block_configs: z
    .array(
      z.object({
        attention: z.object({
          n_heads_in_group: count(limits.heads).nullish(),
          no_op: replaced,
          replace_with_linear: replaced,
          num_sink_tokens: z.number().int().min(0).nullish(),
          window_length: count(2 ** 40).nullish(),
          unshifted_sink: replaced,
          use_prefill_window_in_sink_attention: replaced,
          sparsify: z.null().optional(),
        }),
        ffn: z.object({
          ffn_mult: z.number().positive().max(1024).nullish(),
          no_op: replaced,
          replace_with_linear: replaced,
          sparsify: z.null().optional(),
        }),
      }),
    )
    .max(limits.layers),
});

/** A layer of Nemotron-NAS, of which the search has left grouped heads with groups of its own size, one matrix, or nothing. */
export function searchedAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { attention: own } = at(readKeys(config, blockSchema).block_configs, i, "num_hidden_layers");
  const d = s.hidden_size;
  if (own.no_op) return { attention: { variant: nothing, sizes: noSizes(d) }, extra: -d };
  if (own.replace_with_linear) return { attention: { variant: nothing, sizes: noSizes(d) }, extra: d * d };
  if (own.num_sink_tokens || own.window_length)
    throw new FormatError(`block_configs: got a window with sinks in layer ${i}, expected none; it is not planned for`);
  const h = sizeAt(s, "num_attention_heads", i);
  const shared = own.n_heads_in_group ?? 1;
  if (h % shared)
    throw new FormatError(
      `block_configs: got ${shared} heads in a group of layer ${i}, expected a divisor of ${h}; correct the config`,
    );
  return groupedAt(change(s, { num_key_value_heads: h / shared }), i, traits);
}

/** The MLP of a layer of Nemotron-NAS: so many times two thirds of the width, rounded up to 256, one matrix, or nothing. */
export function searchedFeed(s: Settings, i: number, _traits: Traits, config: Config): Feed {
  const { ffn } = at(readKeys(config, blockSchema).block_configs, i, "num_hidden_layers");
  const d = s.hidden_size;
  // Without it there is no norm before it either.
  if (ffn.no_op) return { ...withoutFeed(), always: -d };
  if (ffn.replace_with_linear) return { ...withoutFeed(), always: d * d, flops: 2 * d * d };
  if (!ffn.ffn_mult)
    throw new FormatError(`block_configs: got no ffn_mult in layer ${i}, expected a number; add it to the config`);
  return dense({ d, f: Math.ceil(Math.floor((2 * ffn.ffn_mult * d) / 3) / 256) * 256 });
}
