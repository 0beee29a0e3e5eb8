import type { Model } from "../model/model.ts";
import { parametersOf } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { ShapeError } from "../tensor/error.ts";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { type LatentLayer, latentAttention } from "./latent.ts";

/** A model with converted layers, and its weights: those of the layers are new, all others are the given ones. */
export interface Replaced {
  readonly model: Model;
  readonly weights: Weights;
  /** Frees what is new. */
  free(): void;
}

/** The model with these layers' attention in the place of its own; undefined leaves a layer as it is. Throws DeviceError without room. */
export function replaceAttention(
  model: Model,
  weights: Weights,
  layers: readonly (LatentLayer | undefined)[],
): Replaced {
  const made = layers.map((layer) => layer && latentAttention(layer));
  const changed: Model = {
    ...model,
    layers: model.layers.map((layer, i) => ({ ...layer, attention: made[i]?.attention ?? layer.attention })),
  };
  const fresh: Tensor[] = [];
  const all = new Map<string, Tensor>();
  for (const { name, shape } of parametersOf(changed)) {
    const [, index, parameter] = /^layers\.(\d+)\.attention\.(.+)$/.exec(name) ?? [];
    const own = index === undefined ? undefined : made[Number(index)];
    if (!own) {
      all.set(name, weights.get(name)!);
      continue;
    }
    const values = own.numbers.get(parameter!);
    if (values?.length !== sizeOf(shape))
      throw new ShapeError(`internal: ${name} [${shape}]: got ${values?.length} numbers`);
    const t = tensor(weights.get(`layers.${index}.normAttention`)!.device, shape, values);
    fresh.push(t);
    all.set(name, t);
  }
  return {
    model: changed,
    weights: all,
    free() {
      for (const t of fresh) t.free();
    },
  };
}
