/**
 * One GGUF file run by Biform and by llama.cpp: chunks of a prompt and tokens written on, in turns, as the context grows.
 * BENCH_SIZE, BENCH_CONTEXT and BENCH_TYPES make it smaller (small, 2048, Q8_0); BENCH_PRESET is another model than deepseek2, and
 * BENCH_FILES names files beside those that are made (SmolLM2, say).
 */
import { spawnSync } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openGguf } from "../src/file/disk.ts";
import { llamacpp, runner, startAll } from "./engines.ts";
import type { Held, Peer, RunRequest, Timing, Took } from "./peer.ts";
import { median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const { BENCH_SIZE, BENCH_CONTEXT, BENCH_TYPES, BENCH_FILES = "", BENCH_PRESET: preset = "deepseek2" } = process.env;

/** Tokens of a prompt that are run at a time: llama.cpp's default. */
const chunk = 512;
/** Tokens written on at a time, and then forgotten. */
const written = 16;
/** Tokens that every engine writes before it is measured, and milliseconds before each turn, in which threads of the last one sleep. */
const [WARM, PAUSE] = [64, 60];

/** Least ratios to the faster llama.cpp that the project asks for, by type and tokens: of tokens written, and of a prompt read. */
const asked: Readonly<Record<string, Readonly<Record<"decode" | "prefill", Readonly<Record<number, number>>>>>> = {
  Q8_0: { decode: { 0: 1.3, 2048: 1.6, 8192: 1.8 }, prefill: { 512: 1.1, 2048: 1.3, 8192: 1.6 } },
  Q4_0: { decode: { 0: 1.3, 2048: 1.7 }, prefill: { 512: 1, 2048: 1.2 } },
  F16: { decode: { 0: 1.05, 2048: 1.3 }, prefill: { 512: 1.1, 2048: 1.4 } },
  Q4_K: { decode: { 0: 1.1 }, prefill: {} },
  Q6_K: { decode: { 0: 1.1 }, prefill: {} },
  moe: { decode: { 0: 1.1 }, prefill: { 512: 1.1 } },
  file: { decode: { 0: 1.2, 2048: 1.3 }, prefill: { 512: 1 } },
};

/** A file that is run, and what is asked over it. */
interface Case {
  readonly name: string;
  readonly file: string;
  readonly asked: (typeof asked)[string] | undefined;
}

/** What one peer took, over all rounds. */
interface Run {
  readonly peer: Peer;
  readonly loadSeconds: number;
  /** By the context before it: a chunk's seconds, one per round. */
  readonly chunks: Map<number, number[]>;
  /** By the context: a token's seconds, one per round. */
  readonly tokens: Map<number, number[]>;
}

/** Prefill and decode of every type beside llama.cpp with and without flash attention; time to load, memory, bytes moved. */
export async function llama(plan: Plan): Promise<Table[]> {
  const types = BENCH_TYPES ?? (plan.quick ? "Q8_0,Q4_0,F16" : "Q8_0,Q4_0,F16,Q4_K,Q6_K");
  const tables: Table[] = [];
  for (const type of types.split(",").filter(Boolean)) {
    const made = { name: type, file: makeModel(plan, type), asked: asked[preset.includes("moe") ? "moe" : type] };
    tables.push(...(await oneFile(plan, made)));
    rmSync(made.file);
  }
  for (const file of BENCH_FILES.split(",").filter(Boolean))
    tables.push(...(await oneFile(plan, { name: basename(file), file, asked: asked.file })));
  return tables;
}

function makeModel({ folder, report }: Plan, type: string): string {
  const file = join(folder, `${type}.gguf`);
  report(`${type}: writing ${file}`);
  const program = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  // The models of experts are made in sizes of their own.
  const size = BENCH_SIZE ?? (preset.includes("moe") ? "small" : "450m");
  const args = ["make-model", file, "--preset", preset, "--size", size, "--type", type];
  const made = spawnSync(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  if (made.status !== 0) throw new Error(`bench: make-model ended with ${made.status}`);
  return file;
}

async function oneFile(plan: Plan, { name: type, file, asked: least }: Case): Promise<Table[]> {
  const { rounds, seconds, threads, report, versions, quick } = plan;
  const t = Math.max(...threads);
  const most = Number(BENCH_CONTEXT ?? (quick ? 2048 : 8192));
  const contexts = [0, 2048, 8192].filter((context) => context <= most);
  const prompts = [512, 2048, 8192].filter((tokens) => tokens <= most);
  const peers = await startAll(
    [
      { name: "llama.cpp", start: () => llamacpp(false, t) },
      { name: "llama.cpp, flash", start: () => llamacpp(true, t) },
      { name: "Biform", start: () => runner(t) },
    ],
    { report, versions },
  );
  const took = async (peer: Peer, request: RunRequest) => ((await peer.ask(request)) as Took).seconds;
  const runs: Run[] = [];
  // The file was written a moment ago and lies in the system's cache for all.
  for (const peer of peers) {
    const loadSeconds = await took(peer, { op: "open", file, context: most + 2 * chunk });
    runs.push({ peer, loadSeconds, chunks: new Map(), tokens: new Map() });
  }
  // Whoever compiles while it runs has done so after some tokens, as in any use that is worth measuring.
  for (const peer of peers) {
    await took(peer, { op: "decode", tokens: WARM });
    await took(peer, { op: "prefill", tokens: chunk });
    await peer.ask({ op: "rewind", length: 0 });
  }
  const end = Math.max(...contexts, ...prompts);
  for (let round = 0; round < rounds; round++) {
    for (let context = 0; context <= end; context += chunk) {
      for (let i = 0; i < runs.length; i++) {
        const { peer, chunks, tokens } = runs[(i + round) % runs.length]!;
        let said = `${type}, round ${round + 1} of ${rounds}, ${peer.name} at ${context} of ${end}:`;
        await setTimeout(PAUSE);
        if (contexts.includes(context)) {
          const each = (await took(peer, { op: "decode", tokens: written })) / written;
          push(tokens, context, each);
          said += ` decode ${(1 / each).toFixed(1)}`;
        }
        if (context < end) {
          const each = await took(peer, { op: "prefill", tokens: chunk });
          push(chunks, context, each);
          said += ` prefill ${(chunk / each).toFixed(1)}`;
        }
        report(`${said} tokens/s`);
      }
    }
    for (const { peer } of runs) await peer.ask({ op: "rewind", length: 0 });
  }
  // Before the product with a vector, whose matrix would count.
  const peaks = new Map<Peer, number>();
  for (const { peer } of runs) peaks.set(peer, ((await peer.ask({ op: "memory" })) as Held).peakBytes / 2 ** 20);
  const own = runs.find(({ peer }) => peer.name === "Biform");
  const vector = own && ((await own.peer.ask({ op: "gemv", m: 32768, k: 2048, seconds })) as Timing);
  const bandwidth = vector ? (32768 * 2048 * 4) / vector.best : Number.NaN;
  const matrices = await readPerToken(file);

  const rate = (n: number, times: readonly number[][]): Pick<Line, "median" | "best"> => ({
    median: n / sum(times.map(median)),
    best: n / sum(times.map((all) => Math.min(...all))),
  });
  const compare = (
    lines: { readonly engine: string; readonly at: number; readonly line: Line }[],
    target: (at: number) => number | undefined,
  ) =>
    lines.map(({ engine, at, line }): Line => {
      if (engine !== "Biform") return line;
      const rivals = lines.filter((other) => other.at === at && other.engine !== "Biform");
      return {
        ...line,
        ratios: rivals.flatMap((rival) => ratio(line, { ...rival.line, engine: rival.engine }, target(at))),
      };
    });
  const decode = contexts.flatMap((at) =>
    runs.map(({ peer, tokens }) => {
      const speed = rate(1, [tokens.get(at)!]);
      return { engine: peer.name, at, line: { engine: `${peer.name}, at ${at}`, ...speed } };
    }),
  );
  const prefill = prompts.flatMap((at) =>
    runs.map(({ peer, chunks }) => {
      const times = Array.from({ length: at / chunk }, (_, i) => chunks.get(i * chunk)!);
      return { engine: peer.name, at, line: { engine: `${peer.name}, ${at} tokens`, ...rate(at, times) } };
    }),
  );
  const memory: Line[] = [];
  for (const { peer, loadSeconds } of runs) {
    const mebibytes = peaks.get(peer)!;
    memory.push({
      engine: peer.name,
      median: mebibytes,
      best: mebibytes,
      note: `loads in ${loadSeconds.toFixed(2)} s`,
    });
    await peer.close();
  }
  const share = (line: Line) => (line.best * matrices) / bandwidth;
  const moved = decode.find(({ engine, at }) => engine === "Biform" && at === 0)?.line;
  const note = moved && {
    note:
      `${(matrices / 1e6).toFixed(0)} MB of matrices a token: ${((moved.best * matrices) / 1e9).toFixed(1)} GB/s, ` +
      `${share(moved).toFixed(2)} of the ${(bandwidth / 1e9).toFixed(1)} GB/s that a product of 256 MiB with a vector reads here`,
  };
  return [
    {
      title: `${type}, decode, ${t}T`,
      unit: "tokens/s",
      lines: compare(decode, (at) => least?.decode[at]).map((line) =>
        line.engine === moved?.engine ? { ...line, ...note } : line,
      ),
    },
    {
      title: `${type}, prefill, ${t}T`,
      unit: "tokens/s",
      lines: compare(prefill, (at) => least?.prefill[at]),
    },
    {
      title: `${type}, most memory, file of ${(statSync(file).size / 2 ** 20).toFixed(0)} MiB`,
      unit: "MiB",
      lines: memory,
    },
  ];
}

/** Bytes of all tensors but the embedding, of which a token reads one row. */
async function readPerToken(file: string): Promise<number> {
  const { tensors } = await openGguf(file);
  let matrices = 0;
  for (const name of tensors.names)
    if (name !== "token_embd.weight") matrices += tensors.entry(name).end - tensors.entry(name).begin;
  return matrices;
}

function push(map: Map<number, number[]>, at: number, value: number): void {
  map.set(at, [...(map.get(at) ?? []), value]);
}

const sum = (numbers: readonly number[]) => numbers.reduce((x, y) => x + y, 0);
