import type { Config } from "../../model/family.ts";
import type { Feed } from "../blueprint.ts";
import { feedAt } from "./feed.ts";
import { type Attending, groupedAt, type Traits } from "./grouped.ts";
import { latentAt } from "./latent.ts";
import type { Settings } from "./settings.ts";

/** How an architecture differs from Llama: what its configs leave out, and what its layers have. */
export interface Architecture extends Traits {
  /** Values of keys that configs leave out. */
  readonly defaults?: Config;
  /** Puts keys that lie elsewhere under the names that are read. */
  readonly rename?: (config: Config) => Config;
  /** Parameters of a norm per dim: 2 with a bias, 0 without any; 1 unless given. */
  readonly norm?: 0 | 1 | 2;
  /** Norms in a block; 2 unless given. */
  readonly norms?: number;
  /** Parameters in no layer beside the last norm: positions, biases of the head. */
  readonly extra?: (s: Settings, config: Config) => number;
  readonly attention: (s: Settings, i: number, traits: Traits, config: Config) => Attending;
  readonly feed: (s: Settings, i: number, traits: Traits, config: Config) => Feed;
}

const grouped = (traits: Partial<Architecture> = {}): Architecture => ({
  attention: groupedAt,
  feed: feedAt,
  ...traits,
});
const latent = (traits: Partial<Architecture> = {}): Architecture => ({ attention: latentAt, feed: feedAt, ...traits });

const tied = { tie_word_embeddings: true };

/** By `model_type`. */
export const architectures: Readonly<Record<string, Architecture>> = {
  llama: grouped(),
  mistral: grouped(),
  mixtral: grouped(),
  qwen2: grouped({ bias: "inputs", defaults: { attention_bias: true, use_sliding_window: false } }),
  qwen2_moe: grouped({
    bias: "inputs",
    sharedGate: true,
    defaults: { attention_bias: true, use_sliding_window: false, shared_expert_intermediate_size: 5632 },
  }),
  qwen3: grouped({ qkNorm: "head", defaults: { head_dim: 128, use_sliding_window: false } }),
  qwen3_moe: grouped({ qkNorm: "head", defaults: { head_dim: 128, use_sliding_window: false } }),
  gemma: grouped({ defaults: { ...tied, head_dim: 256 } }),
  gemma2: grouped({ norms: 4, defaults: { ...tied, head_dim: 256, sliding_window: 4096, sliding_window_pattern: 2 } }),
  gemma3_text: grouped({
    norms: 4,
    qkNorm: "head",
    defaults: {
      ...{ ...tied, vocab_size: 262_208, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
      ...{
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 256,
        sliding_window: 4096,
        sliding_window_pattern: 6,
      },
      max_position_embeddings: 131_072,
    },
  }),
  deepseek_v2: latent(),
  deepseek_v3: latent({ correction: true }),
  deepseek_v32: latent({ correction: true }),
  kimi_k2: latent({ correction: true }),
  glm4_moe_lite: latent({ correction: true, defaults: { first_k_dense_replace: 1 } }),
  glm_moe_dsa: latent({ correction: true }),
  youtu: latent({ defaults: tied }),
  youtu_llm: latent({ defaults: tied }),
  minicpm3: latent({ defaults: tied }),
};
