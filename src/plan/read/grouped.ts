import type { Costed, Costing, Feature, Sizes } from "../../attention/define.ts";
import type { Keeping } from "../../attention/keeping.ts";
import { gqa } from "../../attention/variant/gqa.ts";
import { FormatError } from "../../tensor/error.ts";
import type { FeedTraits } from "./feed.ts";
import { at, type Settings, sizeAt } from "./settings.ts";
import { windowAt } from "./window.ts";

/** What a layer has beside its feed-forward half. */
export interface Attending {
  readonly attention: Costing;
  /** Parameters that the variant does not list: norms over all heads, sinks, factors. */
  readonly extra?: number | undefined;
  readonly keeping?: Keeping | undefined;
}

/** How the attention of an architecture differs from Llama's. */
export interface AttentionTraits {
  /** What `attention_bias` means: biases of queries, keys, values and output (unless given), or of the first three. */
  readonly bias?: "all" | "inputs";
  /** Norms on queries and keys: of one head's width for all heads, of all heads together, or of each head its own. */
  readonly qkNorm?: "head" | "whole" | "each";
  /** Whether `use_qk_norm` turns these norms on; they are always there unless given. */
  readonly qkNormOptional?: true;
  /** A logit per head in the softmax. */
  readonly sinks?: true;
  /** No dims rotate (learned positions, ALiBi). */
  readonly unrotated?: true;
  /** A gate on each head's output, as wide as its value, made of the hidden state. */
  readonly gate?: true;
}

export type Traits = AttentionTraits & FeedTraits;

/** A gate on each head's output `[h, v]`, projected from the hidden state (Qwen3-Next). */
export function addGate(variant: Costed): Costed {
  const forms = Object.entries(variant.forms).map(([name, form]) => {
    const cost: typeof form.cost = (z) => {
      const plain = form.cost(z);
      return { ...plain, token: plain.token + 2 * z.d * z.h * z.v };
    };
    return [name, { ...form, cost }];
  });
  return {
    ...variant,
    name: `${variant.name}-gated`,
    params: (z) => ({ ...variant.params(z), wG: "d h v" }),
    forms: Object.fromEntries(forms),
  };
}

const gatedGqa = addGate(gqa);

/** A layer of grouped-query attention. Throws FormatError naming the keys that do not fit together. */
export function groupedAt(s: Settings, i: number, traits: AttentionTraits = {}): Attending {
  const d = s.hidden_size;
  const h = sizeAt(s, "num_attention_heads", i);
  const g = at<number>(s.num_key_value_heads ?? h, i, "num_key_value_heads");
  const e = s.head_dim ?? d / h;
  if (!Number.isInteger(e))
    throw new FormatError(
      `head_dim: got nothing, and hidden_size ${d} is no multiple of ${h} heads, expected a whole number; add it to the config`,
    );
  if (g < 1 || h % g)
    throw new FormatError(
      `num_key_value_heads: got ${g}, expected a divisor of the ${h} attention heads; correct the config`,
    );
  return {
    attention: {
      variant: traits.gate ? gatedGqa : gqa,
      sizes: groupedSizes(s, { d, h, g, e, v: s.v_head_dim ?? e }, traits),
      window: windowAt(s, i),
    },
    extra: normExtra(s, { h, g, e }, traits) + (traits.sinks ? h : 0),
  };
}

const hasNorm = (s: Settings, { qkNorm, qkNormOptional }: AttentionTraits) =>
  qkNorm && (!qkNormOptional || s.use_qk_norm) ? qkNorm : undefined;

/** Sizes of grouped heads. */
export function groupedSizes(
  s: Settings,
  { e, ...dims }: { d: number; h: number; g: number; e: number; v: number },
  traits: AttentionTraits,
): Sizes {
  const r = traits.unrotated || e % 2 ? 0 : e;
  return {
    ...dims,
    e,
    n: e - r,
    r,
    c: 0,
    q: 0,
    o: 0,
    bias: s.attention_bias ? (traits.bias ?? "all") : undefined,
    ...(hasNorm(s, traits) === "head" && {
      eps: s.rms_norm_eps ?? 1e-6,
      with: { qkNorm: true } satisfies Partial<Record<Feature, true>>,
    }),
  };
}

function normExtra(s: Settings, { h, g, e }: { h: number; g: number; e: number }, traits: AttentionTraits): number {
  const norm = hasNorm(s, traits);
  return norm === "whole" || norm === "each" ? (h + g) * e : 0;
}
