import { z } from "zod";
import { cacheOf } from "../../attention/define.ts";
import type { Draft, LayerKind } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { compressedExtra, compressedFeed, compressedSizes, compressed as window } from "./compressed.ts";
import { dense } from "./feed.ts";
import { change, readKeys, type Settings, sizeAt } from "./settings.ts";

/** What joins the hidden state and the embedding of the token after it, a norm before it for either and one behind. */
const joining = (d: number) => 2 * d * d + 3 * d;

/**
 * Layers that predict further tokens as DeepSeek-V3 has them (arXiv 2412.19437, section 2.2): each is a layer as the model's last one,
 * a matrix that joins the hidden state and the embedding of the token after it, a norm before it for either and one behind. Embedding and
 * head are the model's own.
 */
export function nextTokens(s: Settings, layers: readonly LayerKind[]): Draft | undefined {
  return asLayer(s, layers.at(-1)!);
}

/** The same where layers with a state stand beside layers with a cache, of which these are (Qwen3-Next, GLM-5.3-Flash). */
export function nextAttending(s: Settings, layers: readonly LayerKind[]): Draft | undefined {
  const attending = layers.findLast(({ attention: { variant, sizes } }) => cacheOf(variant, sizes).length > 0);
  const { attention, keeping } = attending ?? layers.at(-1)!;
  return asLayer(s, { ...layers.at(-1)!, attention, keeping });
}

/**
 * The same with the window of the model's own layers and a dense MLP (MiMo-V2-Flash, Step-3.5 Flash: their mimo_v2_mtp and step3p5_mtp
 * in vLLM and SGLang; a block of MiMo's has 0.33 B parameters).
 */
export function nextWindowed(s: Settings, layers: readonly LayerKind[]): Draft | undefined {
  const last = layers.length - 1;
  const near = layers.findLast(({ attention }) => attention.window !== undefined) ?? layers[last]!;
  return asLayer(s, { ...near, feed: dense({ d: s.hidden_size, f: sizeAt(s, "intermediate_size", last) }) });
}

function asLayer(s: Settings, layer: LayerKind): Draft | undefined {
  const count = s.num_nextn_predict_layers ?? 0;
  if (!count) return undefined;
  return { name: "MTP", layers: [{ ...layer, count }], extra: count * joining(s.hidden_size) };
}

const schema = z.object({
  dspark_block_size: z.number().int().min(0).max(4096).nullish(),
  dspark_target_layer_ids: z.array(z.number().int().min(0).max(limits.layers)).max(limits.layers).nullish(),
  dspark_markov_rank: count(limits.width).nullish(),
  dspark_n_routed_experts: count(limits.experts).nullish(),
  dspark_num_experts_per_tok: count(limits.experts).nullish(),
  dspark_noise_token_id: z.number().int().min(0).max(limits.vocabulary).nullish(),
});

/**
 * The draft layers of DeepSeek-V4 and V4.1, which see the window alone: MTP as DeepSeek-V3's, or DSpark, whose first layer joins the
 * hidden states of some layers and whose last has a bigram table of low rank and a score of confidence (tensors of the checkpoints).
 */
export function compressedDraft(head: "streams" | "plain") {
  return (s: Settings, layers: readonly LayerKind[], config: Config): Draft | undefined => {
    const keys = readKeys(config, schema);
    const count = s.num_nextn_predict_layers ?? 0;
    if (!count) return undefined;
    const [d, last] = [s.hidden_size, layers.length - 1];
    const { sizes, extra, recent } = compressedSizes(s, last, config);
    const { dspark_n_routed_experts: experts, dspark_num_experts_per_tok: chosen, dspark_block_size: block } = keys;
    const own = experts ? { num_experts: experts, num_experts_per_tok: chosen ?? s.num_experts_per_tok } : {};
    const feed = compressedFeed(change(s, own), last, { correction: true }, config);
    const layer = { count, attention: { variant: window, sizes, window: recent }, feed, extra: 2 * d + extra };
    const streams = head === "streams" ? compressedExtra(s, config) : 0;
    if (!block) return { name: "MTP", layers: [layer], extra: count * (joining(d) + streams) };
    const [targets, rank] = [keys.dspark_target_layer_ids?.length ?? 3, keys.dspark_markov_rank ?? 256];
    const joined = targets * d * d + 2 * d;
    return { name: "DSpark", layers: [layer], extra: joined + 2 * s.vocab_size * rank + d + rank + streams };
  };
}
