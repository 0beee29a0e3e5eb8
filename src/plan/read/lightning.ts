import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { deltaAttention, taps } from "../../family/hybrid.ts";
import { isFull, third } from "../../family/ling.ts";
import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { latentAt } from "./latent.ts";
import { at, change, need, readKeys, type Settings, sizeAt } from "./settings.ts";
import { kindAt } from "./window.ts";

/**
 * Linear attention with a decay per head that is fixed, norms on the output, and a gate on it (MiniMax-01, Ling 2.5): a state
 * of n v numbers per head, which a token decays, adds to and reads: 5 n v FLOPs.
 */
export const lightning: Costed = {
  name: "Lightning",
  source: "Qin et al., Lightning Attention-2 (arXiv 2401.04658); MiniMax-01 (arXiv 2501.08313)",
  window: false,
  features: ["qkNorm"],
  rules: (z) => [[z.n > 0, "n", "the state has at least one row"]],
  params: (z) => ({
    wQ: "d h n",
    wK: "d h n",
    wV: "d h v",
    gQH: z.with?.qkNorm ? "n" : undefined,
    gKH: z.with?.qkNorm ? "n" : undefined,
    wG: "d h v",
    gO: "h v",
    wO: "h v d",
  }),
  cache: () => ({}),
  state: () => ({ memory: "h n v" }),
  forms: {
    recurrent: {
      about: "token by token: the same work however long the past is",
      cost: (z) => ({ token: 2 * z.d * z.h * (2 * z.n + 3 * z.v) + 5 * z.h * z.n * z.v, cached: 0, pair: 0 }),
    },
  },
};

const lightningSchema = z.object({
  attn_type_list: z.array(z.number().int().min(0).max(1)).max(limits.layers).nullish(),
});

function lightningLayer(s: Settings, i: number, features: Sizes["with"]): Attending {
  const [d, h] = [s.hidden_size, sizeAt(s, "num_attention_heads", i)];
  const n = s.head_dim ?? d / h;
  if (!Number.isInteger(n))
    throw new FormatError(
      `head_dim: got nothing, and hidden_size ${d} is no multiple of ${h} heads, expected a whole number; add it to the config`,
    );
  const sizes: Sizes = { d, h, g: h, n, r: 0, e: n, v: n, c: 0, q: 0, o: 0, with: features };
  return { attention: { variant: lightning, sizes } };
}

/** A layer of MiniMax-01: seven of lightning attention, then one of softmax attention. */
export function minimaxAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { attn_type_list: types } = readKeys(config, lightningSchema);
  const linear = types
    ? at(types, i, "num_hidden_layers") === 0
    : s.layer_types
      ? kindAt(s, i, "linear_attention", "full_attention") === "linear_attention"
      : i % 2 === 0;
  return linear ? lightningLayer(s, i, undefined) : groupedAt(change(s, { layer_types: null }), i, traits);
}

const bailingSchema = z.object({
  layer_group_size: count(limits.layers).nullish(),
  architectures: z.array(z.string().max(80)).max(8).nullish(),
  linear_attention: z.string().max(80).nullish(),
  // What a number of the linear layers goes through: it costs nothing that is counted.
  linear_silu: z.boolean().nullish(),
  no_kda_lora: z.boolean().nullish(),
  kda_safe_gate: z.boolean().nullish(),
  kda_lower_bound: z.number().lt(0).nullish(),
  short_conv_kernel_size: taps.nullish(),
  gated_attention_proj_granularity_type: z.enum(["head_wise", "element_wise"]).nullish(),
});
type Bailing = z.infer<typeof bailingSchema>;

/** A layer of Ling 2.5 or 3: lightning attention or KDA, and the last of each group MLA, as are all that fill no group. */
export function bailingAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const keys = readKeys(config, bailingSchema);
  const isThird = isLing3(keys);
  if (!isFull(i, s.num_hidden_layers, keys.layer_group_size ?? 1))
    return isThird ? lingLayer(s, i, keys) : lightningLayer(s, i, s.use_qk_norm ? { qkNorm: true } : undefined);
  const latent = latentAt(s, i, traits);
  // Where the config has no word of a gate there is one for each head, where it says null there is none.
  const { gated_attention_proj_granularity_type: kind = "head_wise" } = keys;
  if (!isThird || kind === null) return latent;
  const { attention } = latent;
  const gate = kind === "head_wise" ? "headGate" : "outputGate";
  return { ...latent, attention: { ...attention, sizes: { ...attention.sizes, with: { [gate]: true } } } };
}

/**
 * Whether a config is of Ling 3, which shares its model_type with Ling 2.5 and 2.6: by its architecture, or where it names none by
 * the keys of KDA. Throws FormatError where they are at odds.
 */
function isLing3({ architectures: names, linear_attention: kind, ...keys }: Bailing): boolean {
  const own = (["no_kda_lora", "kda_safe_gate", "kda_lower_bound", "short_conv_kernel_size"] as const).find(
    (key) => (keys[key] ?? null) !== null,
  );
  const byKeys = kind === "kda" || own !== undefined;
  const byName = names?.length ? names.includes(third) : undefined;
  const other = (kind ?? null) !== null && kind !== "kda";
  if ((byName === false && byKeys) || (other && (byName || own !== undefined)))
    throw new FormatError(
      `architectures: got ${formatJson(names ?? null).slice(0, 80)} beside ${other ? "linear_attention" : (own ?? "linear_attention")}, ` +
        `expected ${third} where the linear layers are KDA (Ling 3), and keys of KDA nowhere else; correct the config`,
    );
  return byName ?? byKeys;
}

/** A KDA layer of Ling 3. */
function lingLayer(s: Settings, i: number, keys: Bailing): Attending {
  const [d, h] = [s.hidden_size, sizeAt(s, "num_attention_heads", i)];
  const n = need(s, "head_dim");
  const { no_kda_lora: whole, kda_lower_bound: floor, short_conv_kernel_size: w } = keys;
  const { variant, sizes } = deltaAttention({
    d,
    h,
    n,
    c: (whole ?? true) ? 0 : n,
    w: w ?? 4,
    eps: s.rms_norm_eps ?? 1e-6,
    floor: floor ?? -5,
  });
  return { attention: { variant, sizes } };
}
