import type { Source } from "../data/source.ts";
import { Session } from "../generate/session.ts";
import { type Clock, wall } from "../measure/clock.ts";
import type { ModelSettings } from "../model/build.ts";
import type { Device } from "../tensor/tensor.ts";
import type { OptimiserSettings } from "../train/optimiser.ts";
import { train } from "../train/train.ts";

/** What the parts of a run take on this machine, in seconds: a training step, and a token that is written alone. */
export interface Pace {
  readonly step: number;
  readonly token: number;
}

/** What a few trial steps are run with. */
export interface Trial {
  readonly pattern: string;
  readonly model: ModelSettings;
  readonly optimiser: OptimiserSettings;
  readonly rate: number;
  readonly batch: number;
  readonly length: number;
}

/** Tokens that are written to see what one takes. */
const TOKENS = 6;

/**
 * Trains for about `seconds`, two steps at least, then writes a few tokens, and says what each took: by the later half, since the
 * first ones compile and page memory in. The mean, not the median: whoever else runs on the machine will also run later.
 */
export async function rehearse(
  trial: Trial,
  source: Source,
  device: Device,
  { seconds, clock = wall, signal }: { seconds: number; clock?: Clock | undefined; signal?: AbortSignal | undefined },
): Promise<Pace> {
  const never = Number.MAX_SAFE_INTEGER;
  const stop = new AbortController();
  const steps = [clock()];
  const result = await train(
    {
      ...trial,
      warmup: 1,
      floor: 1,
      steps: never,
      seed: 1,
      evaluateEvery: never,
      heldOutBatches: 1,
      source: source.name,
    },
    source,
    device,
    {
      signal: stop.signal,
      onStep() {
        steps.push(clock());
        if (signal?.aborted || (steps.length > 2 && steps.at(-1)! - steps[0]! >= seconds)) stop.abort();
      },
    },
  );
  const session = new Session(result.model, result.weights);
  const tokens = [clock()];
  while (tokens.length <= TOKENS) {
    const logits = session.append(Int32Array.of(0), { logits: "last" });
    await logits.read();
    logits.free();
    tokens.push(clock());
  }
  session.free();
  for (const t of result.weights.values()) t.free();
  return { step: laterMean(steps), token: laterMean(tokens) };
}

/** Mean time between the later half of some moments. */
function laterMean(moments: readonly number[]): number {
  const from = moments.length >> 1;
  return Math.max(1e-9, (moments.at(-1)! - moments[from - 1]!) / (moments.length - from));
}
