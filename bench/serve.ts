/**
 * Many requests at once over one file: Biform's engine and llama.cpp with as many sequences in one context, in turns. BENCH_FILES
 * names GGUF files beside the one that is made (SmolLM2, say), BENCH_REQUESTS their numbers, BENCH_SIZE=small makes it quick.
 */
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { engine, sequences, startAll } from "./engines.ts";
import type { Many, Peer, RunRequest } from "./peer.ts";
import { median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const { BENCH_SIZE: size = "450m", BENCH_FILES: files = "", BENCH_REQUESTS: numbers } = process.env;
/** Tokens of a request's own prompt, and written. */
const [OWN, WRITTEN] = [32, 64];
/** Tokens that prompts share, and those of a long one; fewer of these where it must be quick. */
const SHARED = 2000;
const longOf = (quick: boolean) => (quick ? 2000 : 8000);
/** Asked: of 8 requests, against one and against llama.cpp; of the first token over a cached prefix; of tokens beside a long prompt. */
const asked = { one: 3, peer: 1.3, cached: 10, beside: 1 / 3 };

/** Rates, times to the first token and between tokens, prefixes, and what a long prompt does to others. */
export async function serve(plan: Plan): Promise<Table[]> {
  const { folder, report } = plan;
  const made = join(folder, "serve-Q8_0.gguf");
  report(`writing ${made}`);
  const program = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  const { status } = spawnSync(process.execPath, [program, "make-model", made, "--size", size, "--type", "Q8_0"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error(`bench: make-model ended with ${status}`);
  const tables: Table[] = [];
  for (const file of [made, ...files.split(",").filter(Boolean)]) tables.push(...(await oneFile(plan, file)));
  return tables;
}

async function oneFile(plan: Plan, file: string): Promise<Table[]> {
  const { rounds, threads, report, versions, quick } = plan;
  const counts = (numbers ?? (quick ? "1,8" : "1,2,4,8,16")).split(",").map(Number);
  const t = Math.max(...threads);
  const name = basename(file);
  const peers = await startAll(
    [
      { name: "llama.cpp", start: () => sequences(false, t, 16) },
      { name: "llama.cpp, flash", start: () => sequences(true, t, 16) },
      { name: "Biform", start: () => engine(t) },
    ],
    { report, versions },
  );
  const ask = async (peer: Peer, request: RunRequest) => (await peer.ask(request)) as Many;
  for (const peer of peers) await peer.ask({ op: "open", file, context: OWN + WRITTEN + 64 });
  const runs = new Map<string, Many[]>();
  const run = async (peer: Peer, key: string, request: RunRequest) => {
    const got = await ask(peer, request);
    const id = `${key} ${peer.name}`;
    runs.set(id, [...(runs.get(id) ?? []), got]);
    report(
      `${name}, ${key}, ${peer.name}: ${got.rate.toFixed(1)} tokens/s, first after ${(1000 * median(got.first)).toFixed(0)} ms`,
    );
  };
  for (let round = 0; round < rounds; round++)
    for (const requests of counts)
      for (let i = 0; i < peers.length; i++)
        await run(peers[(i + round) % peers.length]!, `${requests}`, {
          op: "many",
          requests,
          shared: 0,
          own: OWN,
          tokens: WRITTEN,
        });
  const of = (key: string, peer: string) => runs.get(`${key} ${peer}`) ?? [];
  const rates = (key: string, peer: string) => of(key, peer).map(({ rate }) => rate);
  const lineOf = (peer: string, key: string): Line => ({
    engine: `${peer}, ${key} requests`,
    median: median(rates(key, peer)),
    best: Math.max(...rates(key, peer)),
    note: `first ${times(of(key, peer).flatMap(({ first }) => first))}; between ${times(of(key, peer).flatMap(({ between }) => between))} ms (50th, 99th percentile)`,
  });
  const rivals = peers.map(({ name }) => name).filter((peer) => peer !== "Biform");
  const lines = counts.flatMap((n) => {
    const own = lineOf("Biform", `${n}`);
    const others = rivals.map((peer) => lineOf(peer, `${n}`));
    const alone = counts.includes(1) && n > 1 ? ratio(own, lineOf("Biform", "1"), n === 8 ? asked.one : undefined) : [];
    return [
      ...others,
      { ...own, ratios: [...others.flatMap((other) => ratio(own, other, n === 8 ? asked.peer : undefined)), ...alone] },
    ];
  });
  for (const peer of peers) await peer.close();
  return [
    { title: `${name}, ${OWN} tokens read and ${WRITTEN} written by each, ${t}T`, unit: "tokens/s of all", lines },
    await prefix(plan, file, t),
  ];
}

/** A long shared prefix, cold and cached, and a long prompt beside writing. */
async function prefix({ rounds, report, versions, quick }: Plan, file: string, t: number): Promise<Table> {
  const long = longOf(quick);
  const [peer] = await startAll([{ name: "Biform", start: () => engine(t) }], { report, versions });
  if (!peer) throw new Error("bench: Biform's engine did not start");
  await peer.ask({ op: "open", file, context: long + 256 });
  const cold: number[] = [];
  const warm: number[] = [];
  const before: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const many = (await peer.ask({ op: "many", requests: 4, shared: SHARED, own: 16, tokens: 8 })) as Many;
    cold.push(many.cold);
    warm.push(...many.first);
    report(`a prefix of ${SHARED}: cold ${many.cold.toFixed(2)} s, cached ${times(many.first)} ms`);
    const stall = (await peer.ask({ op: "stall", requests: 4, own: OWN, tokens: 200, long })) as Many;
    before.push(...stall.between);
    beside.push(...stall.beside);
    report(
      `between tokens ${times(stall.between)} ms, beside a prompt of ${long} ${times(stall.beside)} ms, read in ${stall.cold.toFixed(1)} s`,
    );
  }
  await peer.close();
  const line = (
    engine: string,
    seconds: readonly number[],
    to?: { name: string; seconds: readonly number[]; target: number },
  ) => {
    const rate = { median: 1 / median(seconds), best: 1 / Math.min(...seconds) };
    const other = to && { engine: to.name, median: 1 / median(to.seconds), best: 1 / Math.min(...to.seconds) };
    return {
      engine,
      ...rate,
      note: `${times(seconds)} ms (50th, 99th percentile)`,
      ratios: ratio({ engine, ...rate }, other, to?.target),
    };
  };
  return {
    title: `${basename(file)}, a prefix of ${SHARED} tokens; a prompt of ${long}, ${t}T`,
    unit: "1/s",
    lines: [
      line("first token, cold", cold),
      line("first token, 4 requests, cached", warm, { name: "cold", seconds: cold, target: asked.cached }),
      line("next token of 4 requests", before),
      line("beside a long prompt", beside, { name: "before", seconds: before, target: asked.beside }),
    ],
  };
}

/** The 50th and the 99th percentile, in milliseconds. */
function times(seconds: readonly number[]): string {
  const sorted = seconds.toSorted((a, b) => a - b);
  const at = (share: number) =>
    (1000 * (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)).toFixed(0);
  return `${at(0.5)}, ${at(0.99)}`;
}
