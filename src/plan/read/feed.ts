import type { Feed } from "../../cost/blueprint.ts";
import { FormatError } from "../../tensor/error.ts";
import { at, type Settings, sizeAt } from "./settings.ts";

/** How the feed-forward halves of an architecture differ from Llama's. */
export interface FeedTraits {
  /** Matrices of an MLP: 3 with a gate (unless given), 2 without. */
  readonly matrices?: 2 | 3;
  /** A number per expert that only picks (DeepSeek-V3). */
  readonly correction?: true;
  /** A bias per expert in the router's scores; biases in experts. */
  readonly routerBias?: true;
  readonly expertBias?: true;
  /** A gate on the shared expert, a number of each token (Qwen2-MoE). */
  readonly sharedGate?: true;
}

interface Mlp {
  readonly d: number;
  readonly f: number;
  readonly matrices?: 2 | 3;
  readonly bias?: boolean;
}

/** Parameters of an MLP of width f: a gate, up and down (3), or up and down (2). */
export const mlpParameters = ({ d, f, matrices = 3, bias = false }: Mlp) =>
  matrices * d * f + (bias ? (matrices - 1) * f + d : 0);

/** A dense MLP. */
export function dense(mlp: Mlp): Feed {
  const { d, f, matrices = 3 } = mlp;
  return { always: mlpParameters(mlp), expert: 0, experts: 0, chosen: 0, flops: 2 * matrices * d * f };
}

/** A choice of experts beside a shared one of width `shared`; an expert's weight goes on what is inside, as Biform's do. */
export function mixture(
  expert: Mlp,
  { experts, chosen, shared, more = 0 }: { experts: number; chosen: number; shared: number; more?: number },
): Feed {
  const { d, f, matrices = 3 } = expert;
  checkChosen(chosen, experts);
  const one = dense({ d, f: shared, matrices });
  return {
    always: d * experts + one.always + more,
    expert: mlpParameters(expert),
    experts,
    chosen,
    flops: 2 * d * experts + chosen * (2 * matrices * d + 2) * f + one.flops,
  };
}

/** Throws FormatError where a token would visit more experts than there are. */
export function checkChosen(chosen: number, experts: number): void {
  if (chosen > experts)
    throw new FormatError(
      `num_experts_per_tok: got ${chosen}, expected at most the ${experts} experts; correct the config`,
    );
}

/** The feed-forward half of layer i. Throws FormatError naming the key that is missing or at odds with another. */
export function feedAt(s: Settings, i: number, traits: FeedTraits = {}): Feed {
  const d = s.hidden_size;
  const { matrices = 3 } = traits;
  if (!isSparse(s, i)) return dense({ d, f: sizeAt(s, "intermediate_size", i), matrices, bias: s.mlp_bias === true });
  const experts = at<number>(s.num_experts!, i, "num_experts");
  const chosen = sizeAt(s, "num_experts_per_tok", i);
  checkChosen(chosen, experts);
  const f = sizeAt(s, s.moe_intermediate_size ? "moe_intermediate_size" : "intermediate_size", i);
  const shared = s.shared_expert_intermediate_size ?? f * at<number>(s.n_shared_experts ?? 0, i, "n_shared_experts");
  const extra = (traits.correction && s.router_correction !== false ? experts : 0) + (traits.routerBias ? experts : 0);
  const feed = mixture(
    { d, f, matrices, bias: traits.expertBias === true },
    { experts, chosen, shared, more: extra + (traits.sharedGate ? d : 0) },
  );
  return traits.sharedGate ? { ...feed, flops: feed.flops + 2 * d } : feed;
}

/** Whether layer i has experts, by whichever of the ways a config says so. */
export function isSparse(s: Settings, i: number): boolean {
  if (!at<number>(s.num_experts ?? 0, i, "num_experts")) return false;
  if (s.mlp_layer_types) return at(s.mlp_layer_types, i, "mlp_layer_types") === "sparse";
  if (s.moe_layers?.length) return s.moe_layers.includes(i);
  if (Array.isArray(s.moe_layer_freq)) return at(s.moe_layer_freq, i, "moe_layer_freq") === 1;
  if (i < (s.first_k_dense_replace ?? 0) || s.mlp_only_layers?.includes(i)) return false;
  const step = s.decoder_sparse_step;
  if (step !== undefined && step !== null) return step > 0 && (i + 1) % step === 0;
  return i % ((s.moe_layer_freq as number | null | undefined) ?? 1) === 0;
}

/** The feed-forward half of a layer of Granite 4: experts, and beside them, or alone, an MLP that all tokens use. */
export function graniteFeed(s: Settings, i: number, traits: FeedTraits): Feed {
  if (at<number>(s.num_experts ?? 0, i, "num_experts")) return feedAt(s, i, traits);
  const f = s.shared_expert_intermediate_size;
  return f ? dense({ d: s.hidden_size, f }) : feedAt(s, i, traits);
}

/** That of a layer which has none. */
export function withoutFeed(): Feed {
  return { always: 0, expert: 0, experts: 0, chosen: 0, flops: 0 };
}
