import type { Sizes } from "../../attention/define.ts";
import { dsa } from "../../attention/dsa.ts";
import { mla } from "../../attention/mla.ts";
import { mustBe } from "../../model/family.ts";
import { FormatError } from "../../tensor/error.ts";
import { type Attending, type AttentionTraits, gated } from "./grouped.ts";
import { need, type Settings, sizeAt } from "./settings.ts";
import { windowAt } from "./window.ts";

const gatedMla = gated(mla);

/** A layer of Multi-head Latent Attention. Throws FormatError naming the key that is missing or at odds with another. */
export function latentAt(s: Settings, i: number, traits: AttentionTraits = {}): Attending {
  const [d, h] = [s.hidden_size, sizeAt(s, "num_attention_heads", i)];
  const c = need(s, "kv_lora_rank");
  const r = need(s, "qk_rope_head_dim");
  const n = need(s, "qk_nope_head_dim");
  mustBe("qk_head_dim", s.qk_head_dim, n + r, "qk_nope_head_dim + qk_rope_head_dim");
  if (r % 2) throw new FormatError(`qk_rope_head_dim: got ${r}, expected an even number; rotary dims come in pairs`);
  const v = s.v_head_dim ?? d / h;
  if (!Number.isInteger(v))
    throw new FormatError(
      `v_head_dim: got nothing, and hidden_size ${d} is no multiple of ${h} heads, expected a whole number; add it to the config`,
    );
  const sizes: Sizes = {
    ...{ d, h, g: 0, n, r, e: n + r, v, c, q: s.q_lora_rank ?? 0, o: 0 },
    ...(s.attention_bias && { bias: traits.bias ?? "all" }),
  };
  const window = windowAt(s, i);
  return { attention: { variant: traits.gate ? gatedMla : mla, sizes, ...(window && { window }) } };
}

/** The same whose queries attend to the keys that an indexer selects (DeepSeek-V3.2). */
export function sparseAt(s: Settings, i: number, traits: AttentionTraits = {}): Attending {
  const { sizes } = latentAt({ ...s, sliding_window: null, layer_types: null }, i, traits).attention;
  const index = { i: need(s, "index_head_dim"), j: need(s, "index_n_heads"), m: need(s, "index_topk") };
  return { attention: { variant: dsa, sizes: { ...sizes, ...index } } };
}
