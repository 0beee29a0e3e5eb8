import type { Opened } from "../checkpoint/open.ts";
import { packingOf } from "../checkpoint/pack.ts";
import { PREFILL_CHUNK } from "../cost/host.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { leaders } from "../ops/leaders/index.ts";
import { type Device, packedTensor, Tensor } from "../tensor/tensor.ts";
import { Session, type SessionOptions } from "./session.ts";

/** Lengths of prompts that a device is made ready for, each for those about as long; and that of a whole chunk. */
const PROMPTS = [14, 30, 100, PREFILL_CHUNK];

/** Sessions to be ready for, and how long their prompts are. */
export interface Rehearsed extends Pick<SessionOptions, "cache" | "machine"> {
  readonly prompts?: readonly number[] | undefined;
}

/**
 * Has a device get ready for what a session of a model enqueues first, a prompt and a token after it, where that takes it time: on a
 * GPU shaders are compiled meanwhile. `weights` makes them within; where they are there already, they serve as well. Comes when it
 * is done; at once on a device that has nothing to get ready.
 *
 * Errors: DeviceError where what would be enqueued cannot be.
 */
export async function rehearse(
  device: Device,
  model: Model,
  weights: Weights | (() => Weights),
  { cache, machine, prompts = PROMPTS }: Rehearsed = {},
): Promise<void> {
  await device.rehearse?.(() => {
    const made = typeof weights === "function" ? weights() : weights;
    const [first, own] = oneOfEach(model, made);
    for (const length of prompts) {
      const session = new Session(first, own, { cache, machine, snapshots: 0 });
      const ids = new Int32Array(length);
      session.append(ids, { logits: "last" }).free();
      const logits = session.append(ids.subarray(0, 1), { logits: "last" });
      leaders(logits, 1).free();
      logits.free();
      session.free();
    }
    if (made !== weights) for (const t of made.values()) t.free();
  });
}

/** The model with one layer of each kind alone, and its weights: layers of a kind enqueue the same. */
function oneOfEach(model: Model, weights: Weights): [Model, Weights] {
  const kinds = new Map<string, number>();
  model.layers.forEach(({ attention, feed }, i) => {
    const { variant, sizes, rotation, window, scale } = attention;
    const packings = [...weights].flatMap(([name, t]) => (name.startsWith(`layers.${i}.`) ? [t.packing ?? null] : []));
    const kind = JSON.stringify([
      variant.name,
      sizes,
      rotation.layout,
      rotation.frequencies.length,
      window,
      scale,
      feed,
      packings,
    ]);
    if (!kinds.has(kind)) kinds.set(kind, i);
  });
  const kept = [...kinds.values()];
  const own = [...weights].flatMap(([name, t]): [string, Tensor][] => {
    const [, i, rest] = name.match(/^layers\.(\d+)\.(.*)$/) ?? [];
    if (i === undefined) return [[name, t]];
    const at = kept.indexOf(Number(i));
    return at < 0 ? [] : [[`layers.${at}.${rest}`, t]];
  });
  return [{ ...model, layers: kept.map((i) => model.layers[i]!) }, new Map(own)];
}

/** Stand-ins for the weights of a checkpoint, as they will lie on a device. */
export function standIns({ parameters, sources, tensors }: Opened, device: Device, packed: boolean): Weights {
  return new Map(
    parameters.map((parameter) => {
      const { name, shape } = parameter;
      const source = sources.get(name);
      const packing = packed && device.packedBytes && source ? packingOf(tensors, parameter, source) : undefined;
      return [name, packing ? packedTensor(device, shape, packing) : new Tensor(device, shape)];
    }),
  );
}
