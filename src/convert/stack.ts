import { paramsOf, shapeOf } from "../attention/define.ts";
import { readWeights } from "../checkpoint/load.ts";
import type { Opened } from "../checkpoint/open.ts";
import { type Block, runBlock } from "../model/block.ts";
import type { Model } from "../model/model.ts";
import { blockOf, type Weights } from "../model/transformer.ts";
import { scaleBy } from "../ops/add/index.ts";
import { gather } from "../ops/embed/index.ts";
import { moveTo } from "../ops/move/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { type Device, scope, type Tensor, tensor } from "../tensor/tensor.ts";
import { type LatentLayer, latentAttention } from "./latent.ts";

/** A layer with its weights, until it is put back. */
export interface Taken {
  readonly block: Block;
  free(): void;
}

/** A model whose layers are taken up one after the other, so that no more than one need be in memory. */
export interface Stack {
  readonly model: Model;
  /** Embeddings of ids `[tokens, d]`, one tensor for each sequence, the caller's to free. */
  embed(sequences: readonly Int32Array[]): Promise<Tensor[]>;
  take(layer: number): Promise<Taken>;
  /** What lies behind the last layer, for `headLogits`, until it is put back. */
  end(): Promise<{ readonly weights: Weights; free(): void }>;
}

function embedWith({ scales }: Model, embed: Tensor, sequences: readonly Int32Array[]): Tensor[] {
  return sequences.map((ids) =>
    scope(embed.device, () => {
      const x = gather(embed, ids);
      return scales ? scaleBy(x, scales.embedding) : x;
    }),
  );
}

/** A model that is in memory as a whole. */
export function stackOf(model: Model, weights: Weights): Stack {
  return {
    model,
    embed: async (sequences) => embedWith(model, weights.get("embed")!, sequences),
    take: async (i) => ({ block: blockOf(model, weights, i), free() {} }),
    end: async () => ({ weights, free() {} }),
  };
}

/** A model on the disk, of which a layer is read when it is taken. Throws as `readWeights`. */
export function fileStack({ model, parameters, sources, tensors }: Opened, device: Device): Stack {
  const read = (prefix: string) => {
    const own = parameters.filter(({ name }) => name.startsWith(prefix));
    return readWeights(tensors, own, sources, device, { weights: "packed" });
  };
  const free = (weights: Weights) => {
    for (const t of weights.values()) t.free();
  };
  return {
    model,
    async embed(sequences) {
      const weights = await read("embed");
      const all = embedWith(model, weights.get("embed")!, sequences);
      free(weights);
      return all;
    },
    async take(i) {
      const weights = await read(`layers.${i}.`);
      return { block: blockOf(model, weights, i), free: () => free(weights) };
    },
    async end() {
      const weights = new Map([...(await read("norm")), ...(await read(model.tied ? "embed" : "head"))]);
      return { weights, free: () => free(weights) };
    },
  };
}

/** The model whose layers have the attention that `made` gives, where it gives one. */
export function withAttention(stack: Stack, made: (layer: number) => Promise<LatentLayer | undefined>): Stack {
  return {
    ...stack,
    async take(i) {
      const { block, free } = await stack.take(i);
      const own = await made(i);
      if (!own) return { block, free };
      const converted = convertBlock(block, own);
      return {
        block: converted.block,
        free() {
          converted.free();
          free();
        },
      };
    },
  };
}

/** A block with a converted layer in the place of its attention; what is freed is that layer alone. */
export function convertBlock(block: Block, layer: LatentLayer): Taken {
  const { attention, numbers } = latentAttention(layer);
  const { device } = block.norms.attention;
  const { variant, sizes } = attention;
  const parts = paramsOf(variant, sizes).map(
    ([name, axes]) => [name, tensor(device, shapeOf(axes, sizes), numbers.get(name)!)] as const,
  );
  return {
    block: { ...block, layer: { ...block.layer, attention }, attention: Object.fromEntries(parts) },
    free() {
      for (const [, t] of parts) t.free();
    },
  };
}

/** What goes into a layer: hidden states `[tokens, d]` of each sequence, which are there until the next layer is asked for. */
export interface Step {
  readonly layer: number;
  readonly block: Block;
  readonly hidden: readonly Tensor[];
}

/**
 * Runs a model over sequences of ids layer by layer: what is held are one layer's weights and all hidden states. `become` says what a
 * layer is converted to once its inputs have been seen; later layers then get what that gives them. Throws as `runBlock`.
 */
export async function* walkLayers(
  { model, embed, take }: Stack,
  sequences: readonly Int32Array[],
  become: (layer: number) => Promise<LatentLayer | undefined> = async () => undefined,
): AsyncGenerator<Step> {
  let hidden: Tensor[] = [];
  try {
    hidden = await embed(sequences);
    for (const layer of model.layers.keys()) {
      const { block, free } = await take(layer);
      try {
        const { device } = block.norms.attention;
        hidden = hidden.map((x) => replaced(x, moveTo(x, device)));
        yield { layer, block, hidden };
        if (layer === model.layers.length - 1) continue;
        const own = await become(layer);
        const converted = own && convertBlock(block, own);
        for (const [s, x] of hidden.entries()) {
          const pass = { positions: positionsOf(0, sequences[s]!.length) };
          hidden[s] = replaced(
            x,
            scope(device, () => runBlock(converted?.block ?? block, x, pass)),
          );
        }
        converted?.free();
      } finally {
        free();
      }
    }
  } finally {
    for (const x of hidden) x.free();
  }
}

/** The second in the place of the first, which is freed. */
export function replaced(before: Tensor, after: Tensor): Tensor {
  if (before !== after) before.free();
  return after;
}

/** Shows the normed hidden states that go into a layer's attention, and the hidden states themselves, sequence by sequence. */
export async function showInputs(
  { block, hidden }: Step,
  see: (x: Tensor, hidden: Tensor) => Promise<void>,
): Promise<void> {
  for (const x of hidden) {
    // What is enqueued is read after the scope is over.
    const waiting: Promise<void>[] = [];
    scope(x.device, () => {
      waiting.push(see(rmsNorm(x, block.norms.attention, block.eps), x));
    });
    await Promise.all(waiting);
  }
}

/** All that a walk gives, of a model that is small enough. */
export async function collect<T>(walk: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of walk) all.push(one);
  return all;
}
