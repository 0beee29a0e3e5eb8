import type { Batch, Source } from "../data/source.ts";
import { gradients } from "../grad/tape.ts";
import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { countFlops } from "../ops/flops.ts";
import { crossEntropy } from "../ops/loss/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import type { Numbers } from "../tensor/device.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
import type { Optimiser } from "./optimiser.ts";

const positions = new Map<string, Int32Array>();

/** Positions of a batch, the same array each time, so that tables made for it are found again. */
export function positionsFor({ count, length }: Batch): Int32Array {
  const key = `${count}x${length}`;
  let found = positions.get(key);
  if (!found) {
    if (positions.size > 16) positions.clear();
    found = positionsOf(0, length, count);
    positions.set(key, found);
  }
  return found;
}

/** Mean loss of a batch in nats per counted token, recorded where a tape runs. */
export function lossOf(model: Model, weights: Weights, batch: Batch) {
  return crossEntropy(logitsOf(model, weights, batch), batch.targets);
}

function logitsOf(model: Model, weights: Weights, batch: Batch): Tensor {
  return forward(model, weights, batch.ids, { positions: positionsFor(batch), batch: batch.count });
}

/** One step of training in place: the loss before it, read back last so that the device never waits, and the FLOPs of its gradients. */
export async function trainStep(
  model: Model,
  weights: Weights,
  optimiser: Optimiser,
  batch: Batch,
  rate: number,
): Promise<{ readonly loss: number; readonly flops: number }> {
  const { device } = weights.get("embed")!;
  const parameters = [...weights.values()];
  const { result: value, flops } = scope(device, () => {
    const found = countFlops(() => gradients(parameters, () => lossOf(model, weights, batch)));
    optimiser.step(weights, found.result.gradients, rate);
    return { result: found.result.value, flops: found.flops };
  });
  const [loss = Number.NaN] = await value.read();
  value.free();
  return { loss, flops };
}

/** The share of counted held-out targets that are the likeliest of all ids, over the same batches as the loss. */
export async function heldOutAccuracy(
  model: Model,
  weights: Weights,
  source: Source,
  { batches, count, length }: { batches: number; count: number; length: number },
): Promise<number> {
  const { device } = weights.get("embed")!;
  let right = 0;
  let counted = 0;
  for (const batch of source.heldOut(batches, count, length)) {
    const logits = scope(device, () => logitsOf(model, weights, batch));
    const numbers = await logits.read();
    logits.free();
    batch.targets.forEach((target, row) => {
      if (target < 0) return;
      counted++;
      const [from, to] = [row * model.vocabulary, (row + 1) * model.vocabulary];
      if (likeliest(numbers.subarray(from, to)) === target) right++;
    });
  }
  return right / counted;
}

function likeliest(logits: Numbers): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Mean held-out loss in nats per counted token, over the same batches on every call. */
export async function heldOutLoss(
  model: Model,
  weights: Weights,
  source: Source,
  { batches, count, length }: { batches: number; count: number; length: number },
): Promise<number> {
  const { device } = weights.get("embed")!;
  let total = 0;
  let counted = 0;
  for (const batch of source.heldOut(batches, count, length)) {
    const here = batch.targets.reduce((n, target) => n + (target >= 0 ? 1 : 0), 0);
    if (here === 0) continue;
    const value = scope(device, () => lossOf(model, weights, batch));
    total += (await value.read())[0]! * here;
    counted += here;
    value.free();
  }
  return total / counted;
}
