import { Cache, declaredBytes } from "../attention/layer.ts";
import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import type { Random } from "../tensor/random.ts";
import { type Numbers, scope, type Tensor } from "../tensor/tensor.ts";

/** One growing sequence over a cache of what its model's attention leaves behind. */
export class Session {
  readonly model: Model;
  readonly weights: Weights;
  readonly caches: readonly Cache[];

  /** @param capacity most tokens the session can hold. */
  constructor(model: Model, weights: Weights, capacity: number) {
    const { device } = weights.get("embed")!;
    this.model = model;
    this.weights = weights;
    this.caches = model.layers.map(({ attention }) => new Cache(device, attention, capacity));
  }

  /** Tokens seen. */
  get length(): number {
    return this.caches[0]?.length ?? 0;
  }

  /** Bytes that the caches hold, their spare capacity included. */
  get bytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.bytes, 0);
  }

  /**
   * Runs new tokens through the model in one form; logits of all of them, or of the last alone, `[rows, vocabulary]`.
   * The caller frees the result.
   */
  append(
    ids: Int32Array,
    options: { form?: string; logits?: "all" | "last"; watch?: (hidden: Tensor) => void } = {},
  ): Tensor {
    const { model, weights, caches } = this;
    return scope(weights.get("embed")!.device, () =>
      forward(model, weights, ids, {
        positions: positionsOf(this.length, ids.length),
        caches,
        ...(options.form ? { form: options.form } : {}),
        ...(options.logits === "last" ? { rows: [ids.length - 1, ids.length] as const } : {}),
        ...(options.watch ? { watch: options.watch } : {}),
      }),
    );
  }

  free(): void {
    for (const cache of this.caches) cache.free();
  }
}

/** Bytes that `tokens` tokens take in the caches of all layers, as the variants declare it. */
export function cacheBytes(model: Model, tokens: number, elementBytes: number): number {
  return model.layers.reduce((sum, { attention }) => sum + declaredBytes(attention, tokens, elementBytes), 0);
}

/** The next token: the likeliest at temperature 0, otherwise drawn from the softmax of logits / temperature. */
export function sample(logits: Numbers, temperature: number, random: Random): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  if (temperature === 0) return best;
  const weights = Float64Array.from(logits, (x) => Math.exp((x - logits[best]!) / temperature));
  let left = random.uniform() * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return best;
}

/** Continues `prompt` by `count` tokens. */
export async function generate(
  model: Model,
  weights: Weights,
  prompt: Int32Array,
  { count, temperature = 0.8, random, form }: { count: number; temperature?: number; random: Random; form?: string },
): Promise<Int32Array> {
  const session = new Session(model, weights, prompt.length + count);
  const result: number[] = [];
  let next = prompt;
  try {
    for (let i = 0; i < count; i++) {
      const logits = session.append(next, { logits: "last", ...(form ? { form } : {}) });
      const token = sample(await logits.read(), temperature, random);
      logits.free();
      result.push(token);
      next = Int32Array.of(token);
    }
  } finally {
    session.free();
  }
  return Int32Array.from(result);
}
