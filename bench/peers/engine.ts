/**
 * Biform's engine: many requests at once over one checkpoint.
 *
 *   node engine.ts THREADS [CACHE]     with a cache of bf16, or of another type
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Engine } from "../../src/batch/engine.ts";
import { type LoadedModel, load } from "../../src/generate/load.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import type { Answer, Many, Request } from "../peer.ts";
import { now, promptOf, summarise } from "./many.ts";
import { serve } from "./serve.ts";

const [threads = "2", cache = "bf16"] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
let model: LoadedModel | undefined;
let engine: Engine | undefined;
let runs = 0;

/** When the tokens of a request came. Each run is a realm of its own: it finds no prefix but its own. */
async function write(ids: readonly number[], maxTokens: number, watch?: (count: number) => void): Promise<number[]> {
  const times: number[] = [];
  const request = {
    ids: Int32Array.from(ids),
    maxTokens,
    temperature: 0,
    end: new Set<number>(),
    realm: `run ${runs}`,
  };
  for await (const event of engine!.submit(request))
    if (event.kind === "token") {
      times.push(now());
      watch?.(times.length);
    }
  return times;
}

async function many({ requests, shared, own, tokens }: Extract<Request, { op: "many" }>): Promise<Many> {
  runs++;
  let start = now();
  let cold = Number.NaN;
  if (shared) cold = (await write(promptOf(requests, shared, own), 1))[0]! - start;
  start = now();
  const times = await Promise.all(Array.from({ length: requests }, (_, i) => write(promptOf(i, shared, own), tokens)));
  return summarise(start, times, { cold });
}

async function stall({ requests, own, tokens, long }: Extract<Request, { op: "stall" }>): Promise<Many> {
  runs++;
  const start = now();
  let reading: Promise<number[]> | undefined;
  let asked = Number.NaN;
  const times = await Promise.all(
    Array.from({ length: requests }, (_, i) =>
      write(promptOf(i, 0, own), tokens, (count) => {
        if (i > 0 || count < tokens >> 1) return;
        asked = reading ? asked : now();
        reading ??= write(promptOf(requests, 0, long), 1);
      }),
    ),
  );
  const read = (await reading!)[0]!;
  const gaps = (from: number, to: number) =>
    times.flatMap((one) => one.slice(1).flatMap((time, i) => (one[i]! >= from && time <= to ? [time - one[i]!] : [])));
  const first = Math.max(...times.map((one) => one[0]!));
  return { ...summarise(start, times), cold: read - asked, between: gaps(first, asked), beside: gaps(asked, read) };
}

await serve({ engine: "Biform", version }, async (request): Promise<Answer> => {
  if (request.op === "open") {
    const start = now();
    model = await load(request.file, { threads: Number(threads) });
    engine = new Engine(model, { cache: cache as CacheType, context: request.context, slots: 16 });
    return { seconds: now() - start };
  }
  if (request.op === "many") return many(request);
  if (request.op === "stall") return stall(request);
  return { unsupported: request.op };
});
process.exit(0);
