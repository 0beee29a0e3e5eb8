import type { Source } from "../data/source.ts";
import { generate, idsOf } from "../generate/generate.ts";
import { Session } from "../generate/session.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";

/** Most tokens that a sample is prompted with, and that it has. */
const PROMPT = 32;
const MOST = 400;

/** About how many tokens a sample of rows of `length` tokens runs one by one. */
export function sampleTokens(length: number): number {
  return Math.min(MOST, length - Math.min(PROMPT, length >> 2));
}

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
  const [held] = source.heldOut(1, 1, Math.max(1, Math.min(PROMPT, length >> 2)));
  const prompt = held!.ids;
  const session = new Session(model, weights, { context: length });
  const options = { maxTokens: Math.min(MOST, length - prompt.length), temperature: 0.7 };
  const ids = await idsOf(generate(session, prompt, options)).finally(() => session.free());
  return { prompt: source.decode(prompt), text: source.decode(ids) };
}
