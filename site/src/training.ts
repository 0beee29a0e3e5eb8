/** Variants that learn side by side, in the worker: the same data, seeds and parameters, a step of each in turn; then they write. */
import {
  type Curve,
  cacheBytes,
  type Matched,
  match,
  modelSize,
  optimiserDefaults,
  recallSource,
  type Source,
  storySource,
  type TrainResult,
  textSource,
  train,
} from "biform/run";
import { deviceText, openDevice, type PageDevice, type Where } from "./place.ts";
import type { Pupil } from "./writing.ts";

/** What is read: stories of a small grammar, pairs to be recalled, or a text of the visitor's. */
export type Data = "stories" | "recall" | { readonly name: string; readonly bytes: Uint8Array };

/** What is to be learned. */
export interface Lesson {
  readonly variants: readonly string[];
  readonly steps: number;
  readonly seeds: number;
  readonly data: Data;
  readonly on: Where;
}

/** How far one variant is. */
export interface Learned {
  readonly spec: string;
  readonly parameters: number;
  /** Bytes that a token leaves in the caches of all layers, in float32. */
  readonly cacheBytes: number;
  /** Of each seed: the step, and the loss on what is never trained on, nats per token. */
  readonly seeds: readonly { readonly seed: number; readonly step: number; readonly heldOut: Curve }[];
}

/** Small enough that a minute on a laptop shows something. */
const sizes = { width: 64, heads: 4, layers: 2 };
const [batch, length] = [8, 96];
/** Tokens that caches grow by. */
const PAGE = 96;

function sourceOf(data: Data, seed: number): Source {
  if (data === "stories") return storySource(seed);
  if (data === "recall") return recallSource(seed);
  return textSource([data], { seed, length });
}

/** What a trained class leaves: where it lies, and how it went. */
export interface Trained {
  readonly device: PageDevice;
  /** Of each variant its first seed. */
  readonly pupils: readonly Pupil[];
}

/**
 * Trains all variants from all seeds; `show` sees the curves after every evaluation. The caller closes the device. Throws ShapeError
 * for a spec that cannot be built, FormatError for a text that is too short, DeviceError where memory ends.
 */
export async function trainTogether(
  { variants, steps, seeds, data, on }: Lesson,
  hooks: {
    readonly begun: (device: string) => void;
    readonly show: (learned: readonly Learned[]) => void;
    readonly signal: AbortSignal;
  },
): Promise<Trained> {
  const sources = Array.from({ length: seeds }, (_, i) => sourceOf(data, i + 1));
  const base = { ...sizes, vocabulary: sources[0]!.vocabulary };
  const matched = match(variants, base, { match: new Set(["parameters"]), length, batch, budget: { steps } });
  const device = await openDevice(on);
  hooks.begun(deviceText(device));
  const learned: Learned[] = matched.map(({ pattern, model }) => ({
    spec: pattern,
    parameters: modelSize(model),
    cacheBytes: (cacheBytes(model, 2 * PAGE) - cacheBytes(model, PAGE)) / PAGE,
    seeds: sources.map((_, i) => ({ seed: i + 1, step: 0, heldOut: { steps: [], losses: [] } })),
  }));
  const learn = ({ pattern, settings }: Matched, at: number, source: Source, i: number) =>
    train(
      {
        pattern,
        model: settings,
        optimiser: optimiserDefaults,
        ...{ rate: 0.003, warmup: Math.min(20, Math.ceil(steps / 5)), floor: 0.1 },
        ...{ steps, batch, length, seed: i + 1, evaluateEvery: 10, heldOutBatches: 2, source: source.name },
      },
      source,
      device,
      {
        signal: hooks.signal,
        onStep({ step, heldOut }) {
          const own = learned[at]!;
          learned[at] = { ...own, seeds: own.seeds.with(i, { seed: i + 1, step, heldOut }) };
          if (step % 10 === 0 || step === steps) hooks.show(learned);
        },
      },
    );
  const runs = matched.map((own, at) => sources.map((source, i) => learn(own, at, source, i)));
  const ended = await Promise.all(runs.map((own) => Promise.allSettled(own)));
  const failed = ended.flat().find(({ status }) => status === "rejected");
  if (failed) {
    device.close();
    throw (failed as PromiseRejectedResult).reason;
  }
  const results = ended.map((own) => own.map((run) => (run as PromiseFulfilledResult<TrainResult>).value));
  for (const { weights } of results.flatMap((own) => own.slice(1))) for (const t of weights.values()) t.free();
  return {
    device,
    pupils: results.map(([first], at) => ({ spec: variants[at]!, result: first!, source: sources[0]!, data })),
  };
}
