/**
 * One small Llama run by Biform (a GGUF file) and by transformers.js (the same weights as an ONNX file), in turns: time to
 * load, a prompt of 512, tokens written on at contexts 0 and 512. BENCH_TYPES=F32 makes it shorter; BENCH_SIZE is small unless
 * given (tiny has positions for a shorter BENCH_PROMPT alone). BENCH_DEVICE=webgpu: both on the same GPU, a software one included.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openGguf } from "../src/file/disk.ts";
import { runner, startAll, transformersjs } from "./engines.ts";
import { type LlamaConfig, writeOnnx } from "./onnx.ts";
import type { Held, Peer, RunRequest, Took, Written } from "./peer.ts";
import { median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const { BENCH_SIZE: size = "small", BENCH_TYPES, BENCH_DEVICE, BENCH_PROMPT } = process.env;
const { BENCH_WRITTEN } = process.env;
const gpu = BENCH_DEVICE === "webgpu";

/** What transformers.js calls each type, and the file it then reads. */
const dtypes: Readonly<Record<string, { readonly dtype: string; readonly file: string }>> = {
  F32: { dtype: "fp32", file: "model.onnx" },
  Q8_0: { dtype: "q8", file: "model_quantized.onnx" },
  Q4_0: { dtype: "q4", file: "model_q4.onnx" },
};
/** Tokens of the prompt, and tokens written on at a time and then forgotten. */
const [prompt, written] = [Number(BENCH_PROMPT ?? 512), Number(BENCH_WRITTEN ?? 32)];
/** The comparison: ids written after a prompt of so many. */
const compared = { prompt: Math.min(100, prompt), tokens: Math.min(24, written) };
/** What is asked of a GPU: so many times the other's tokens in a second. */
const ASKED = 1.5;

/** Rates of every type beside transformers.js, whose logits are compared first. */
export async function transformers(plan: Plan): Promise<Table[]> {
  const tables: Table[] = [];
  const types = BENCH_TYPES ?? (plan.quick ? "F32,Q8_0" : "F32,Q8_0,Q4_0");
  for (const type of types.split(",")) tables.push(await oneType(plan, type));
  return tables;
}

async function oneType({ rounds, threads, folder, report, versions }: Plan, type: string): Promise<Table> {
  const where = gpu ? "webgpu" : Math.max(...threads);
  const { dtype, file } = dtypes[type] ?? {};
  if (!dtype || !file) throw new Error(`bench: got the type ${type}, expected ${Object.keys(dtypes).join(", ")}`);
  const [gguf, exported] = [join(folder, `${type}.gguf`), join(folder, "llama")];
  make(gguf, type);
  const started = await startAll(
    [
      { name: "transformers.js", start: () => transformersjs(where) },
      { name: "Biform", start: () => runner(where, "f32") },
    ],
    { report, versions },
  );
  if (started.some(({ name }) => name !== "Biform")) {
    // For its config.json.
    make(exported, "F32");
    mkdirSync(join(exported, "onnx"));
    const config = JSON.parse(readFileSync(join(exported, "config.json"), "utf8")) as LlamaConfig;
    await writeOnnx(await openGguf(gguf), config, join(exported, "onnx", file));
  }
  // What each has still on its threads when its turn ends is not to be the other's.
  const ask = async (peer: Peer, request: RunRequest) => {
    await setTimeout(100);
    return peer.ask(request);
  };
  const took = async (peer: Peer, request: RunRequest) => ((await ask(peer, request)) as Took).seconds;
  const works = ["decode, at 0", `prefill, ${prompt} tokens`, `decode, at ${prompt}`] as const;
  const runs: { peer: Peer; loadSeconds: number; said: Written; seconds: number[][] }[] = [];
  for (const peer of started) {
    const path = peer.name === "Biform" ? gguf : `${exported}:${dtype}`;
    const loadSeconds = await took(peer, { op: "open", file: path, context: prompt + 2 * written });
    const said = (await ask(peer, { op: "greedy", ...compared })) as Written;
    // A first time for kernels and memory.
    await ask(peer, { op: "prefill", tokens: prompt });
    await ask(peer, { op: "decode", tokens: written });
    await ask(peer, { op: "rewind", length: 0 });
    runs.push({ peer, loadSeconds, said, seconds: works.map(() => []) });
  }
  for (let round = 0; round < rounds; round++) {
    const order = runs.map((_, i) => runs[(i + round) % runs.length]!);
    for (const { peer, seconds } of order)
      seconds[0]!.push((await took(peer, { op: "decode", tokens: written })) / written);
    for (const { peer, seconds } of order)
      seconds[1]!.push((await took(peer, { op: "prefill", tokens: prompt })) / prompt);
    for (const { peer, seconds } of order)
      seconds[2]!.push((await took(peer, { op: "decode", tokens: written })) / written);
    for (const { peer, seconds } of order) {
      await ask(peer, { op: "rewind", length: 0 });
      report(
        `${type}, round ${round + 1} of ${rounds}, ${peer.name}: ${seconds.map((s) => (1 / s.at(-1)!).toFixed(1))}`,
      );
    }
  }
  const other = runs.find(({ peer }) => peer.name !== "Biform");
  const lines: Line[] = [];
  for (let work = 0; work < works.length; work++)
    for (const { peer, seconds } of runs) {
      const speed = (all: readonly number[]) => ({ median: 1 / median(all), best: 1 / Math.min(...all) });
      const line = { engine: `${peer.name}, ${works[work]}`, ...speed(seconds[work]!) };
      const rival = other && { engine: other.peer.name, ...speed(other.seconds[work]!) };
      lines.push(peer === other?.peer ? line : { ...line, ratios: ratio(line, rival, gpu ? ASKED : undefined) });
    }
  const notes: string[] = [];
  for (const { peer, loadSeconds, said } of runs) {
    const mebibytes = ((await peer.ask({ op: "memory" })) as Held).peakBytes / 2 ** 20;
    notes.push(`${peer.name}: loads in ${loadSeconds.toFixed(2)} s, ${mebibytes.toFixed(0)} MiB at most`);
    if (peer.name === "Biform" && other) notes.push(agreement(said, other.said));
    await peer.close();
  }
  rmSync(exported, { recursive: true, force: true });
  rmSync(gguf);
  const last = lines.pop();
  return {
    title: `Llama ${size}, ${type}, ${gpu ? "WebGPU" : `${where}T`}`,
    unit: "tokens/s",
    lines: last ? [...lines, { ...last, note: notes.join("\n  ") }] : [],
  };
}

/** How far two engines' greedy ids go together, and how far apart their logits after the prompt are. */
function agreement(a: Written, b: Written): string {
  const parting = a.ids.findIndex((id, i) => id !== b.ids[i]);
  const mean = b.logits.reduce((x, y) => x + y, 0) / b.logits.length;
  const deviation = Math.sqrt(b.logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / b.logits.length);
  const furthest = Math.max(...a.logits.map((x, i) => Math.abs(x - b.logits[i]!)));
  return (
    `${parting < 0 ? "all" : parting} of ${a.ids.length} greedy ids alike; logits after the prompt at most ` +
    `${(furthest / deviation).toExponential(1)} of their standard deviation apart`
  );
}

function make(path: string, type: string): void {
  const program = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  const args = ["make-model", path, "--preset", "llama", "--size", size, "--type", type];
  const { status } = spawnSync(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new Error(`bench: make-model ended with ${status}`);
}
