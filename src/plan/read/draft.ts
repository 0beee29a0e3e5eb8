import type { Draft, LayerKind } from "../../cost/blueprint.ts";
import type { Settings } from "./settings.ts";

/**
 * Layers that predict further tokens as DeepSeek-V3 has them (arXiv 2412.19437, section 2.2): each is a layer as the model's last one,
 * a matrix that joins the hidden state and the embedding of the token after it, a norm before it for either and one behind. Embedding and
 * head are the model's own.
 */
export function nextTokens(s: Settings, layers: readonly LayerKind[]): Draft | undefined {
  const [count, d] = [s.num_nextn_predict_layers ?? 0, s.hidden_size];
  if (!count) return undefined;
  return { name: "MTP", layers: [{ ...layers.at(-1)!, count }], extra: count * (2 * d * d + 3 * d) };
}
