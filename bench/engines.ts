/** Which peers there are and how each is started. */
import { existsSync, globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gpuVariables } from "../scripts/gpu.ts";
import type { Build } from "./biform.ts";
import { Peer } from "./peer.ts";
import type { Plan } from "./section.ts";

const python = process.env.BENCH_PYTHON ?? "/usr/bin/python3";
const file = (name: string) => fileURLToPath(new URL(`peers/${name}`, import.meta.url));

/** The builds that are measured by default, in the order of the tables. */
export const builds: readonly Build[] = ["relaxed", "wide"];

/** OpenBLAS through numpy, with this many threads. */
export function openblas(threads: number): Promise<Peer> {
  return Peer.start(`OpenBLAS ${threads}T`, python, [file("gemm.py")], { OPENBLAS_NUM_THREADS: `${threads}` });
}

/**
 * PyTorch, tuned as far as environment variables go: one thread pool (the OpenMP build of OpenBLAS where it is installed,
 * since two pools that spin fight for the cores), and an allocator that keeps its memory instead of returning it each step.
 */
export function pytorch(folder: string, threads: number): Promise<Peer> {
  return Peer.start(`PyTorch ${threads}T`, python, [file("train.py"), folder, `${threads}`], tuned(threads));
}

/** A model that Biform wrote as Python, for rows of tokens of a length, compiled or as it stands. */
export function exported(
  name: string,
  folder: string,
  threads: number,
  rows: readonly [count: number, length: number],
  compiled: boolean,
): Promise<Peer> {
  const args = [file("exported.py"), folder, threads, ...rows, ...(compiled ? ["compile"] : [])].map(String);
  return Peer.start(name, python, args, tuned(threads));
}

function tuned(threads: number): NodeJS.ProcessEnv {
  const [openmp] = globSync("/usr/lib/*/openblas-openmp");
  return {
    OMP_NUM_THREADS: `${threads}`,
    OPENBLAS_NUM_THREADS: `${threads}`,
    MALLOC_MMAP_THRESHOLD_: `${2 ** 25}`,
    MALLOC_TRIM_THRESHOLD_: `${2 ** 33}`,
    MALLOC_TOP_PAD_: `${2 ** 28}`,
    ...(openmp ? { LD_LIBRARY_PATH: openmp } : { GOMP_SPINCOUNT: "0" }),
  };
}

/** jax-js on wasm; more than one thread by way of a stand-in for the browser's Worker. */
export function jax(folder: string, threads: number): Promise<Peer> {
  const name = threads === 1 ? "jax-js 1T (as shipped)" : `jax-js ${threads}T (Worker stand-in)`;
  return Peer.start(name, process.execPath, [installed("jax.ts"), folder, `${threads}`]);
}

/** jax-js on the GPU that the package `webgpu` offers. */
export function jaxGpu(folder: string): Promise<Peer> {
  return Peer.start("jax-js WebGPU", process.execPath, [installed("jax.ts"), folder, "webgpu"], gpuVariables());
}

/** TensorFlow.js on wasm, which has one thread in Node. */
export function tfjs(folder: string): Promise<Peer> {
  return Peer.start("TensorFlow.js 1T", process.execPath, [installed("tfjs.ts"), folder]);
}

/** llama.cpp through node-llama-cpp, which parity/ installs. */
export function llamacpp(flash: boolean, threads: number): Promise<Peer> {
  const name = `llama.cpp${flash ? ", flash" : ""}`;
  return Peer.start(name, process.execPath, [file("llama.ts"), `${threads}`, flash ? "flash" : "plain"]);
}

/** llama.cpp with many sequences in one context. */
export function sequences(flash: boolean, threads: number, most: number): Promise<Peer> {
  const name = `llama.cpp${flash ? ", flash" : ""}`;
  return Peer.start(name, process.execPath, [file("sequences.ts"), `${threads}`, `${most}`, flash ? "flash" : "plain"]);
}

/** Biform's engine for many requests, with a cache of bf16. */
export function engine(threads: number): Promise<Peer> {
  return Peer.start("Biform", process.execPath, [file("engine.ts"), `${threads}`]);
}

/** What computes: so many threads of the processor, or a GPU. */
export type Where = number | "webgpu";

const variablesOf = (where: Where) => (where === "webgpu" ? gpuVariables() : {});

/** transformers.js on ONNX Runtime. */
export function transformersjs(where: Where): Promise<Peer> {
  const args = [installed("transformers.ts"), `${where}`];
  return Peer.start("transformers.js", process.execPath, args, variablesOf(where));
}

/** Biform running a checkpoint, with a cache of bf16 unless told. */
export function runner(where: Where, cache: "bf16" | "f32" = "bf16"): Promise<Peer> {
  return Peer.start("Biform", process.execPath, [file("runner.ts"), `${where}`, cache], variablesOf(where));
}

/** Biform with one build of its kernels. */
export function biform(folder: string, build: Build, threads: number): Promise<Peer> {
  return Peer.start(`Biform ${build} ${threads}T`, process.execPath, [file("biform.ts"), folder, build, `${threads}`], {
    ...(build.startsWith("webgpu") ? gpuVariables() : {}),
  });
}

/** Starts what can be started and notes its version; `report` hears of the rest. */
export async function startAll(
  starts: readonly { name: string; start: () => Promise<Peer> }[],
  { report, versions }: Pick<Plan, "report" | "versions">,
): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const { name, start } of starts) {
    try {
      const peer = await start();
      versions.set(peer.greeting.engine, peer.greeting.version);
      peers.push(peer);
    } catch (error) {
      report(`${name} not measured: ${(error as Error).message.split("\n").at(-1)}`);
    }
  }
  return peers;
}

function installed(name: string): string {
  if (!existsSync(new URL("node_modules", import.meta.url)))
    throw new Error("bench: got no packages, expected those of bench/package.json; run `npm ci --prefix bench`");
  return file(name);
}
