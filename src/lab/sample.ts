import type { Source } from "../data/source.ts";
import { generate, idsOf } from "../generate/generate.ts";
import { Session } from "../generate/session.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";

/**
 * Held-out text continued by a model to rows of `length` tokens, as long as those it was trained on: further out, positions would
 * be new to it. At most 400 tokens, temperature 0.7, the same at every call.
 */
export async function writeSample(
  model: Model,
  weights: Weights,
  source: Source,
  length: number,
): Promise<{ prompt: string; text: string }> {
  const [held] = source.heldOut(1, 1, Math.max(1, Math.min(32, length >> 2)));
  const prompt = held!.ids;
  const session = new Session(model, weights, { context: length });
  const options = { maxTokens: Math.min(400, length - prompt.length), temperature: 0.7 };
  const ids = await idsOf(generate(session, prompt, options)).finally(() => session.free());
  return { prompt: source.decode(prompt), text: source.decode(ids) };
}
