import { z } from "zod";
import type { FeedForward } from "../model/model.ts";
import type { Choice } from "../ops/route/index.ts";
import { FormatError } from "../tensor/error.ts";
import { count, limits } from "./config.ts";
import type { Settings } from "./gguf.ts";

/** The keys that describe a mixture of experts under the names of DeepSeek's configs. */
export const expertKeys = {
  n_routed_experts: count(limits.experts).nullish(),
  n_shared_experts: z.number().int().min(0).max(limits.experts).nullish(),
  moe_intermediate_size: count(limits.width * 8).nullish(),
  num_experts_per_tok: count(limits.experts).nullish(),
  n_group: count(limits.experts).nullish(),
  topk_group: count(limits.experts).nullish(),
  routed_scaling_factor: z.number().min(-1e6).max(1e6).default(1),
};
const expertSchema = z.object(expertKeys);
type Experts = z.infer<typeof expertSchema>;

/** How a family routes, and under which keys its configs say so where these are not DeepSeek's. */
interface How extends Pick<Choice, "scores" | "normalised"> {
  /** How many layers have experts, for a bound on the names to be looked up. */
  readonly layers: number;
  readonly grouped: "grouped" | "whole";
  readonly called?: Partial<Record<keyof Experts, string>> | undefined;
}

/** The mixture of experts of a config, or undefined where it has none. Throws FormatError naming the key. */
export function expertsOf(config: Experts, { layers, grouped, called, ...how }: How): FeedForward | undefined {
  const { n_routed_experts: x } = config;
  if (!x) return undefined;
  const say = (key: keyof Experts) => called?.[key] ?? key;
  const need = (key: "num_experts_per_tok" | "moe_intermediate_size" | "n_group" | "topk_group"): number => {
    const value = config[key];
    if (!value)
      throw new FormatError(
        `${say(key)}: got nothing, expected a number beside ${say("n_routed_experts")} ${x}; add it to the config`,
      );
    return value;
  };
  // A bound on names to be made up, before any is looked for in the file.
  if (x * layers > 200_000)
    throw new FormatError(
      `${say("n_routed_experts")}: got ${x} in ${layers} layers, expected at most 200000 experts in all; correct the config`,
    );
  const [perToken, f] = [need("num_experts_per_tok"), need("moe_intermediate_size")];
  const [groups, perGroup] = grouped === "grouped" ? [need("n_group"), need("topk_group")] : [1, 1];
  // A sigmoid router scores a group by its two best.
  if (x % groups || (how.scores === "sigmoid" && groups > 1 && x / groups < 2))
    throw new FormatError(
      `${say("n_group")}: got ${groups}, expected a divisor of the ${x} experts that leaves enough in a group; correct the config`,
    );
  if (perGroup > groups)
    throw new FormatError(
      `${say("topk_group")}: got ${perGroup}, expected at most ${say("n_group")} ${groups}; correct the config`,
    );
  if (perToken > (x / groups) * perGroup)
    throw new FormatError(
      `${say("num_experts_per_tok")}: got ${perToken}, expected at most ${(x / groups) * perGroup}; correct the config`,
    );
  const routing: Choice = { ...how, perToken, groups, perGroup, factor: config.routed_scaling_factor };
  return { kind: "experts", f, x, shared: f * (config.n_shared_experts ?? 0), routing };
}

/** The settings of a mixture of experts in GGUF files. */
export const expertSettings: Settings = {
  leading_dense_block_count: { hub: "first_k_dense_replace", absent: 0 },
  expert_count: { hub: "n_routed_experts", absent: null },
  expert_used_count: { hub: "num_experts_per_tok", absent: null },
  expert_shared_count: { hub: "n_shared_experts", absent: 0 },
  expert_feed_forward_length: { hub: "moe_intermediate_size", absent: null },
  expert_weights_scale: { hub: "routed_scaling_factor", type: "f32", absent: 1 },
  expert_weights_norm: { hub: "norm_topk_prob", type: "bool", absent: false },
  expert_group_count: { hub: "n_group", absent: 1 },
  expert_group_used_count: { hub: "topk_group", absent: 1 },
};
