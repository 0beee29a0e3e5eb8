/**
 * llama.cpp, through node-llama-cpp: many sequences in one context, one token of each in a pass, prompts before that in passes of 512.
 *
 *   node sequences.ts THREADS SEQUENCES [plain|flash]     with flash attention, or without
 */
import { type Llama, openLibrary } from "../../parity/llama.ts";
import type { Answer, Many, Request } from "../peer.ts";
import { now, promptOf, summarise } from "./many.ts";
import { serve } from "./serve.ts";

const [threads = "2", sequences = "16", flash = "flash"] = process.argv.slice(2);
const library = await openLibrary();
if ("missing" in library) throw new Error(library.missing);
const { version, open } = library;
const batch = 512;
let llama: Llama | undefined;

/** The addon has no way to share what sequences have in common: each reads all of its prompt. */
async function many({ requests, shared, own, tokens }: Extract<Request, { op: "many" }>): Promise<Many> {
  const next: number[] = [];
  const times: number[][] = Array.from({ length: requests }, () => []);
  const start = now();
  for (let i = 0; i < requests; i++) {
    const ids = promptOf(i, shared, own);
    const of = (some: number[]) => Array.from({ length: i + 1 }, (_, k) => (k === i ? some : []));
    let [last] = [0];
    for (let at = 0; at < ids.length; at += batch) [last = 0] = await llama!.together(of(ids.slice(at, at + batch)));
    next.push(last);
    times[i]!.push(now());
  }
  for (let written = 1; written < tokens; written++) {
    next.splice(0, requests, ...(await llama!.together(next.map((id) => [id]))));
    const time = now();
    for (const one of times) one.push(time);
  }
  for (let i = 0; i < requests; i++) llama!.truncate(0, i);
  return summarise(start, times);
}

await serve({ engine: "llama.cpp", version }, async (request): Promise<Answer> => {
  if (request.op === "open") {
    const start = now();
    const { file, context } = request;
    const settings = { threads: Number(threads), cache: "f16", flash: flash === "flash", batch } as const;
    llama = await open(file, { ...settings, context, sequences: Number(sequences) });
    return { seconds: now() - start };
  }
  return request.op === "many" ? many(request) : { unsupported: request.op };
});
process.exit(0);
