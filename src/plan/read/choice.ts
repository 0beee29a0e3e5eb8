import { layerSpecs, parseSpec } from "../../attention/spec.ts";
import { assume, type Blueprint } from "../../cost/blueprint.ts";
import type { Config } from "../../family/config.ts";
import type { Architecture } from "./architecture.ts";
import { feedAt } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { gatedDeltaAt, moonshotAt } from "./hybrid.ts";
import { latentAt } from "./latent.ts";
import { refuseUnread } from "./ledger.ts";
import { change, need, type Settings, settle, sizeAt } from "./settings.ts";

/**
 * An architecture whose attention the user names: a spec for all layers or a pattern. GQA, MHA, MQA, MLA, KDA and GDN alone take
 * their sizes from the config, where they are there; other specs say them, as written. What is not attention is as in `base`.
 */
export function namedArchitecture(
  pattern: string,
  base: Architecture = { attention: groupedAt, feed: feedAt },
): Architecture {
  let specs: readonly string[] = [];
  return {
    ...base,
    attention(s, i, traits, config) {
      if (specs.length <= i) specs = layerSpecs(pattern, s.num_hidden_layers);
      return attentionOf(specs[i]!, { s, i, traits, config });
    },
  };
}

/** Whether every layer that a pattern names says its sizes, so that keys which nobody reads are overridden knowingly. */
const saysSizes = (pattern: string): boolean => layerSpecs(pattern, 4096).every((spec) => spec.includes(":"));

/**
 * The blueprint of a model with keys that decide and that no reader looked at: refused, unless the user said the sizes of all
 * layers, which is noted. `source` has the values, `names` what the keys are called in the file. Throws FormatError.
 */
export function overrideUnread(
  blueprint: Blueprint,
  source: Config,
  missed: readonly string[],
  { as, names }: { readonly as?: string | undefined; readonly names?: ReadonlyMap<string, string> | undefined },
): Blueprint {
  if (missed.length === 0) return blueprint;
  if (as === undefined || !saysSizes(as)) throw refuseUnread(source, missed, { as, names });
  const keys = `${missed.join(", ")} ${missed.length > 1 ? "are" : "is"}`;
  const usual = unnamedSizes(blueprint, as);
  const rest = usual.length ? `, with ${usual.join(", ")}, which it does not name` : "";
  return assume(blueprint, `attention is as --as ${as.trim()} says${rest}; the model's ${keys} not read`);
}

/** Sizes that a pattern leaves to what its variants usually have, as "r 64". Others are the model's, in a name, or 0: not there. */
function unnamedSizes({ width, layers }: Blueprint, pattern: string): string[] {
  const heads = layers.find(({ attention }) => attention?.sizes.h)?.attention?.sizes.h ?? 1;
  const found = [...new Set(layerSpecs(pattern, 4096))].flatMap((spec) => {
    const named = new Set([...spec.matchAll(/:([a-z])/g)].map(([, letter]) => letter));
    const { sizes } = parseSpec(spec, { width, heads, dims: "exact", planned: true });
    return Object.entries(sizes).flatMap(([letter, size]) =>
      !size || "dhgem".includes(letter) || named.has(letter) ? [] : `${letter} ${size}`,
    );
  });
  return [...new Set(found)];
}

interface Place {
  readonly s: Settings;
  readonly i: number;
  readonly traits: Traits;
  readonly config: Config;
}

function attentionOf(spec: string, { s, i, traits, config }: Place): Attending {
  if (spec === "GQA") return groupedAt(s, i, traits);
  if (spec === "MHA") return groupedAt(regroup(s, null), i, traits);
  if (spec === "MQA") return groupedAt(regroup(s, 1), i, traits);
  if (spec === "MLA" && s.kv_lora_rank) return latentAt(s, i, traits);
  if (spec === "GDN" && config.linear_num_value_heads) return gatedDeltaAt(s, config);
  if (spec === "KDA" && config.linear_attn_config) return moonshotAt(s, config);
  need(s, "num_attention_heads");
  // What grouped heads have, the spec says otherwise.
  settle(s, "num_key_value_heads", "head_dim", "v_head_dim");
  const { variant, sizes, window, keeping } = parseSpec(spec, {
    width: s.hidden_size,
    heads: sizeAt(s, "num_attention_heads", i),
    dims: "exact",
    planned: true,
  });
  return { attention: { variant, sizes, window }, keeping };
}

function regroup(s: Settings, groups: number | null): Settings {
  settle(s, "num_key_value_heads");
  return change(s, { num_key_value_heads: groups });
}
