/** Variants that learn side by side, in the worker: the same stories, seed and parameters, a step of each in turn; then they write. */
import {
  byteTokenizer,
  type Curve,
  generate,
  match,
  modelSize,
  optimiserDefaults,
  Session,
  storySource,
  type TrainResult,
  train,
  WasmDevice,
} from "biform/run";

/** What is to be learned. */
export interface Lesson {
  readonly variants: readonly string[];
  readonly steps: number;
}

/** How far one variant is. */
export interface Learned {
  readonly spec: string;
  readonly parameters: number;
  readonly step: number;
  readonly steps: number;
  /** On stories that are never trained on, nats per byte. */
  readonly heldOut: Curve;
}

/** What a trained variant writes in one form. */
export interface Told {
  readonly spec: string;
  readonly form: string;
  readonly text: string;
  readonly cacheBytes: number;
}

/** Small enough that a minute on a laptop shows something. */
const sizes = { width: 64, heads: 4, layers: 2 };
const [batch, length] = [8, 96];
const opening = "Ada ";

/**
 * Trains all variants and lets them write; `show` sees the curves after every evaluation. Throws ShapeError for a spec that cannot be
 * built, DeviceError where memory ends.
 */
export async function trainTogether(
  { variants, steps }: Lesson,
  { show, signal }: { readonly show: (learned: readonly Learned[]) => void; readonly signal: AbortSignal },
): Promise<Told[]> {
  const source = storySource(1);
  const base = { ...sizes, vocabulary: source.vocabulary };
  const matched = match(variants, base, { match: new Set(["parameters"]), length, batch, budget: { steps } });
  const device = await WasmDevice.open({ threads: crossOriginIsolated ? undefined : 1 });
  try {
    const learned: Learned[] = matched.map(({ pattern, model }) => ({
      spec: pattern,
      parameters: modelSize(model),
      step: 0,
      steps,
      heldOut: { steps: [], losses: [] },
    }));
    const runs = matched.map(({ pattern, settings }, at) =>
      train(
        {
          pattern,
          model: settings,
          optimiser: optimiserDefaults,
          ...{ rate: 0.003, warmup: Math.min(20, Math.ceil(steps / 5)), floor: 0.1 },
          ...{ steps, batch, length, seed: 1, evaluateEvery: 10, heldOutBatches: 2, source: source.name },
        },
        source,
        device,
        {
          signal,
          onStep({ step, heldOut }) {
            learned[at] = { ...learned[at]!, step, heldOut };
            if (step % 10 === 0 || step === steps) show(learned);
          },
        },
      ),
    );
    const ended = await Promise.allSettled(runs);
    const failed = ended.find(({ status }) => status === "rejected");
    if (failed) throw (failed as PromiseRejectedResult).reason;
    const told: Told[] = [];
    for (const [at, run] of ended.entries())
      told.push(...(await write(variants[at]!, (run as PromiseFulfilledResult<TrainResult>).value)));
    return told;
  } finally {
    device.close();
  }
}

/** What a model writes from the same opening, in each of its forms. */
async function write(spec: string, { model, weights }: TrainResult): Promise<Told[]> {
  const forms = [...new Set(model.layers.flatMap(({ attention }) => Object.keys(attention.variant.forms)))];
  const told: Told[] = [];
  for (const form of forms) {
    const session = new Session(model, weights, { context: 160 });
    let text = opening;
    const options = { maxTokens: 120, temperature: 0, tokenizer: byteTokenizer, form };
    for await (const step of generate(session, byteTokenizer.prompt(opening), options)) text += step.text;
    told.push({ spec, form, text, cacheBytes: session.bytes });
    session.free();
  }
  return told;
}
