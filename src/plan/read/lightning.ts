import { z } from "zod";
import type { Costed, Sizes } from "../../attention/define.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { kindAt } from "./hybrid.ts";
import { latentAt } from "./latent.ts";
import { at, change, readKeys, type Settings, sizeAt } from "./settings.ts";

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
  layer_group_size: count(limits.layers).nullish(),
  short_conv_kernel_size: count(64).nullish(),
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

/** A layer of Ling 2.5: lightning attention, and the last of each group MLA. */
export function bailingAt(s: Settings, i: number, traits: Traits, config: Config): Attending {
  const { layer_group_size: size, short_conv_kernel_size: taps } = readKeys(config, lightningSchema);
  if (taps)
    throw new FormatError(
      `short_conv_kernel_size: got ${taps}, expected nothing; Ling 3, whose linear layers are of another kind, is not planned for`,
    );
  const group = size ?? 1;
  const last = Math.floor(s.num_hidden_layers / group) * group;
  if ((i + 1) % group !== 0 && i < last) return lightningLayer(s, i, s.use_qk_norm ? { qkNorm: true } : undefined);
  return latentAt(s, i, traits);
}
