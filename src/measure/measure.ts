import { cacheBytes, Session } from "../generate/session.ts";
import { formsOf, type Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { ShapeError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import { scope, Tensor } from "../tensor/tensor.ts";

/** Speeds of one model on this machine. */
export interface Speeds {
  readonly prefill: { form: string; tokens: number; tokensPerSecond: number }[];
  readonly decode: { form: string; context: number; tokensPerSecond: number }[];
  /** Bytes the caches hold at each context, as allocated. */
  readonly memory: { context: number; bytes: number }[];
}

/** How often speeds at a context are run, the first time included, which is not counted: decoding more often than long prompts. */
export function roundsFor(context: number, rounds = 7): { prefill: number; decode: number } {
  return { prefill: 1 + Math.min(rounds, context > 1024 ? 3 : 5), decode: 1 + 3 * rounds };
}

/**
 * Median speed of prefilling `context` tokens and of single-token decoding after that many, in every form. Costs do not
 * depend on the numbers, so the cache before a decode step is filled with random rows. Speeds are tokens per second of the whole
 * model. Throws ShapeError for less than one round.
 */
export async function measure(
  model: Model,
  weights: Weights,
  contexts: readonly number[],
  { rounds, signal }: { rounds?: number | undefined; signal?: AbortSignal | undefined } = {},
): Promise<Speeds> {
  const speeds: Speeds = { prefill: [], decode: [], memory: [] };
  const random = new Random(1);
  const ids = (n: number) => Int32Array.from({ length: n }, () => random.integer(model.vocabulary));
  for (const context of contexts) {
    const times = roundsFor(context, rounds);
    for (const form of formsOf(model)) {
      if (signal?.aborted) return speeds;
      const prompt = ids(context);
      const seconds = await median(times.prefill, async () => {
        const session = new Session(model, weights);
        const start = performance.now();
        const logits = session.append(prompt, { form, logits: "last" });
        await logits.read();
        const taken = performance.now() - start;
        logits.free();
        session.free();
        return taken / 1000;
      });
      speeds.prefill.push({ form, tokens: context, tokensPerSecond: context / seconds });
      const session = new Session(model, weights);
      fill(session, context, random);
      const step = await median(times.decode, async () => {
        const start = performance.now();
        const logits = session.append(ids(1), { form, logits: "last" });
        await logits.read();
        logits.free();
        return (performance.now() - start) / 1000;
      });
      speeds.decode.push({ form, context, tokensPerSecond: 1 / step });
      session.free();
    }
    speeds.memory.push({ context, bytes: cacheBytes(model, context) });
  }
  return speeds;
}

function fill(session: Session, tokens: number, random: Random): void {
  for (const cache of session.caches) {
    const { device } = session;
    scope(device, () => {
      const parts = Object.entries(cache.rows).map(([name, { shape }]) => {
        const t = new Tensor(device, [tokens, ...shape.slice(1)]);
        return [name, t.write(random.normals(t.size, 0.5))];
      });
      cache.append(Object.fromEntries(parts), tokens);
    });
  }
}

/** The median of all runs but the first. */
async function median(runs: number, run: () => Promise<number>): Promise<number> {
  if (runs < 2) throw new ShapeError(`measure: got ${runs - 1} rounds, expected at least 1`);
  await run();
  const times: number[] = [];
  while (times.length < runs - 1) times.push(await run());
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}
