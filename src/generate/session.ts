import { Cache, declaredBytes } from "../attention/layer.ts";
import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";

/** One growing sequence over a cache of what its model's attention leaves behind. */
export class Session {
  readonly model: Model;
  readonly weights: Weights;
  readonly caches: readonly Cache[];
  /** Most tokens it can hold. */
  readonly capacity: number;

  constructor(model: Model, weights: Weights, capacity: number) {
    const { device } = weights.get("embed")!;
    this.model = model;
    this.weights = weights;
    this.capacity = capacity;
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
