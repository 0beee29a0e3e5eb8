/**
 * One GGUF file run by Biform and by llama.cpp: chunks of a prompt and tokens written on, in turns, as the context grows.
 * BENCH_SIZE, BENCH_CONTEXT and BENCH_TYPES make it smaller (small, 2048, Q8_0).
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openGguf } from "../src/file/disk.ts";
import { llamacpp, runner, startAll } from "./engines.ts";
import type { Held, Peer, RunRequest, Timing, Took } from "./peer.ts";
import { median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const { BENCH_SIZE: size = "450m", BENCH_CONTEXT: most = "8192", BENCH_TYPES: types = "Q8_0,Q4_0,F16" } = process.env;

/** Tokens of a prompt that are run at a time: llama.cpp's default. */
const chunk = 512;
/** Tokens written on at a time, and then forgotten. */
const written = 16;
const contexts = [0, 2048, 8192].filter((context) => context <= Number(most));
const prompts = [512, 2048, 8192].filter((tokens) => tokens <= Number(most));

/** Least ratios to llama.cpp that the project asks for: of decoding with an empty context, and of a prompt of 512. */
const asked: Readonly<Record<string, { readonly decode: number; readonly prefill?: number }>> = {
  Q8_0: { decode: 0.8, prefill: 0.5 },
  Q4_0: { decode: 0.6 },
  F16: { decode: 0.9 },
};
/** With a long context it asks to be ahead. */
const ahead = 1;

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
  const tables: Table[] = [];
  for (const type of types.split(",")) tables.push(...(await oneFile(plan, type)));
  return tables;
}

async function oneFile({ rounds, seconds, threads, folder, report, versions }: Plan, type: string): Promise<Table[]> {
  const t = Math.max(...threads);
  const file = join(folder, `${type}.gguf`);
  report(`${type}: writing ${file}`);
  const program = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  const made = spawnSync(process.execPath, [program, "make-model", file, "--size", size, "--type", type], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (made.status !== 0) throw new Error(`bench: make-model ended with ${made.status}`);
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
    const loadSeconds = await took(peer, { op: "open", file, context: Number(most) + 2 * chunk });
    runs.push({ peer, loadSeconds, chunks: new Map(), tokens: new Map() });
  }
  const end = Math.max(...contexts, ...prompts);
  for (let round = 0; round < rounds; round++) {
    for (let context = 0; context <= end; context += chunk) {
      for (let i = 0; i < runs.length; i++) {
        const { peer, chunks, tokens } = runs[(i + round) % runs.length]!;
        let said = `${type}, round ${round + 1} of ${rounds}, ${peer.name} at ${context} of ${end}:`;
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
  const { decode: least, prefill: leastPrefill } = asked[type] ?? { decode: ahead };
  return [
    {
      title: `${type}, decode, ${t}T`,
      unit: "tokens/s",
      lines: compare(decode, (at) => (at === 0 ? least : ahead)).map((line) =>
        line.engine === moved?.engine ? { ...line, ...note } : line,
      ),
    },
    {
      title: `${type}, prefill, ${t}T`,
      unit: "tokens/s",
      lines: compare(prefill, (at) => (at === 8192 ? ahead : at === 512 ? leastPrefill : undefined)),
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
