import { layerSpecs, parseSpec } from "../../attention/spec.ts";
import type { Architecture } from "./architecture.ts";
import { feedAt } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { latentAt } from "./latent.ts";
import { need, type Settings, sizeAt } from "./settings.ts";

/**
 * An architecture whose attention the user names: a spec for all layers or a pattern. GQA, MHA, MQA and MLA alone take their
 * sizes from the config, where they are there; other specs say them, as written. What is not attention is as in `base`.
 */
export function namedArchitecture(
  pattern: string,
  base: Architecture = { attention: groupedAt, feed: feedAt },
): Architecture {
  let specs: readonly string[] = [];
  return {
    ...base,
    attention(s, i, traits) {
      if (specs.length <= i) specs = layerSpecs(pattern, s.num_hidden_layers);
      return attentionOf(specs[i]!, s, i, traits);
    },
  };
}

function attentionOf(spec: string, s: Settings, i: number, traits: Traits): Attending {
  if (spec === "GQA") return groupedAt(s, i, traits);
  if (spec === "MHA") return groupedAt({ ...s, num_key_value_heads: null }, i, traits);
  if (spec === "MQA") return groupedAt({ ...s, num_key_value_heads: 1 }, i, traits);
  if (spec === "MLA" && s.kv_lora_rank) return latentAt(s, i, traits);
  need(s, "num_attention_heads");
  const { variant, sizes, window } = parseSpec(spec, {
    width: s.hidden_size,
    heads: sizeAt(s, "num_attention_heads", i),
    dims: "exact",
  });
  return { attention: { variant, sizes, window } };
}
