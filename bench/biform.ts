/**
 * The adapter: Biform's side of every measurement, over the library's own entry points. Where the library changes, this is
 * the only file here that follows.
 */
import { parseSpec } from "../src/attention/spec.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { WebgpuDevice } from "../src/device/webgpu.ts";
import { load } from "../src/generate/load.ts";
import { rehearse } from "../src/generate/rehearse.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import type { Model } from "../src/model/model.ts";
import { parametersOf } from "../src/model/model.ts";
import { attend } from "../src/ops/attend/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { copy } from "../src/ops/move/index.ts";
import { DeviceError } from "../src/tensor/error.ts";
import type { CacheType } from "../src/tensor/page.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, type TapeNode, Tensor, tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { Optimiser, optimiserDefaults } from "../src/train/optimiser.ts";
import { trainStep } from "../src/train/step.ts";
import { elements, parameters, sizes } from "./model.ts";
import type { AttentionCase, Launched, Steps, Timing } from "./peer.ts";
import type { Runner } from "./peers/run.ts";

export type Build = WasmDevice["build"] | "webgpu" | "webgpu16";

/** A wasm device with this build of the kernels, or the GPU; `webgpu16`: one whose subgroup matrices are of 16 bits. Throws DeviceError. */
export async function openDevice(build: Build, threads: number): Promise<WasmDevice | WebgpuDevice> {
  if (build === "webgpu") return WebgpuDevice.open();
  if (build !== "webgpu16") return WasmDevice.open({ build, threads });
  const device = await WebgpuDevice.open({ products: "f16" });
  const { matrix, software, name } = device.traits;
  if (matrix?.type === "f16" && !software) return device;
  throw new DeviceError(`bench: got ${name}, expected a GPU with subgroup matrices of 16 bits; measure 32 bits alone`);
}

/** Whether products of many rows round their operands to 16 bits. */
const isHalf = (device: Device) => device instanceof WebgpuDevice && device.traits.matrix?.type === "f16";

/** `bytes` of memory copied to others: what a device can read and write. */
export function move(device: Device, bytes: number, seconds: number): Promise<Timing> {
  const [a, b] = [new Tensor(device, [bytes / 4]), new Tensor(device, [bytes / 4])];
  a.write(new Float32Array(a.size));
  return measure(device, () => copy(a, b), seconds).finally(() => {
    for (const t of [a, b]) t.free();
  });
}

/** C = A B through `einsum`, the result's allocation included. Throws when the product is wrong. */
export async function gemm(device: Device, m: number, n: number, k: number, seconds: number): Promise<Timing> {
  const random = new Random(1);
  const a = randomTensor(device, random, [m, k]);
  const b = randomTensor(device, random, [k, n]);
  const once = () => einsum("m k, k n -> m n", a, b);
  const c = once();
  await check([a, b, c], [m, n, k], random);
  c.free();
  const timing = await measure(device, () => once().free(), seconds);
  for (const t of [a, b]) t.free();
  return timing;
}

/** y = A x through `einsum`. */
export async function gemv(device: Device, m: number, k: number, seconds: number): Promise<Timing> {
  const random = new Random(1);
  const a = randomTensor(device, random, [m, k]);
  const x = randomTensor(device, random, [k]);
  const timing = await measure(device, () => einsum("m k, k -> m", a, x).free(), seconds);
  for (const t of [a, x]) t.free();
  return timing;
}

/** One `attend`, or its gradient for queries, keys and values alone (the forward pass then runs once, unmeasured). */
export async function attention(
  device: Device,
  z: AttentionCase,
  pass: "forward" | "backward",
  seconds: number,
): Promise<Timing> {
  const random = new Random(1);
  const make = (rows: number, groups: number, width: number) =>
    randomTensor(device, random, groups === 1 ? [z.batch * rows, width] : [z.batch * rows, groups, width]);
  const queries = z.terms.map(({ width }) => randomTensor(device, random, [z.batch * z.queries, z.heads, width]));
  const keys = z.terms.map(({ width, groups }) => make(z.keys, groups, width));
  const values = z.values === "firstKey" ? keys[0]! : make(z.keys, z.values.groups, z.values.width);
  const inputs = new Set([...queries, ...keys, values]);
  const scale = z.terms.reduce((sum, { width }) => sum + width, 0) ** -0.5;
  const view = { scale, batch: z.batch };
  const run = () => attend(values, view, ...queries.map((q, i) => [q, keys[i]!] as const));
  let timing: Timing;
  if (pass === "forward") timing = await measure(device, () => run().free(), seconds);
  else {
    const nodes: TapeNode[] = [];
    for (const t of inputs) t.recorder = { record: (node) => nodes.push(node) };
    const out = run();
    const [node] = nodes;
    if (!node) throw new Error("bench: attend recorded nothing");
    const g = randomTensor(device, random, out.shape);
    const wanted = node.inputs.map(() => true);
    const none = node.inputs.map(() => undefined);
    timing = await measure(
      device,
      () => {
        for (const t of node.backward(g, wanted, none)) t?.free();
      },
      seconds,
    );
    for (const t of [out, g, ...node.saved]) t.free();
  }
  for (const t of inputs) t.free();
  return timing;
}

/** The training case of model.ts. @returns a function that runs further steps. */
export function training(device: Device, numbers: Float32Array, rows: Int32Array): (steps: number) => Promise<Steps> {
  const { width, heads, headDim, layers, vocabulary, intermediate, tokens: length, batch: count } = sizes;
  if (headDim * heads !== width) throw new Error("bench: MHA's heads fill the width");
  const { base, layout } = { base: sizes.ropeBase, layout: "half" as const };
  const attention = parseSpec("MHA", { width, heads, base, layout });
  const feed = { kind: "dense", f: intermediate } as const;
  const model: Model = {
    vocabulary,
    width,
    layers: Array.from({ length: layers }, () => ({ attention, feed })),
    tied: false,
    eps: sizes.normEpsilon,
  };
  const filed = new Map(parameters().map((p) => [p.name, p]));
  const weights = new Map<string, Tensor>();
  for (const { name, shape } of parametersOf(model)) {
    const p = filed.get(fileName(name));
    if (!p) throw new Error(`bench: no weights for ${name}`);
    weights.set(name, tensor(device, shape, numbers.subarray(p.offset, p.offset + elements(p))));
  }
  const optimiser = new Optimiser(device, parametersOf(model), {
    ...optimiserDefaults,
    beta1: sizes.beta1,
    beta2: sizes.beta2,
    eps: sizes.epsilon,
    decay: 0,
    clip: Number.POSITIVE_INFINITY,
  });
  const pick = (shift: number) =>
    Int32Array.from(
      { length: count * length },
      (_, i) => rows[Math.floor(i / length) * (length + 1) + (i % length) + shift]!,
    );
  const data = { count, length, ids: pick(0), targets: pick(1) };
  return async (steps) => {
    const seconds: number[] = [];
    const losses: number[] = [];
    device.resetPeak();
    for (let i = 0; i < steps; i++) {
      const start = performance.now();
      losses.push((await trainStep(model, weights, optimiser, data, sizes.learningRate)).loss);
      seconds.push((performance.now() - start) / 1000);
    }
    return {
      seconds,
      losses,
      peakBytes: device.peakBytes,
      memoryBytes: device instanceof WasmDevice ? device.floats.byteLength : device.peakBytes,
    };
  };
}

/** A small MLA model of random weights writes tokens greedily, one step after the other. */
export async function tokens(device: Device, layers: number, count: number): Promise<Launched> {
  const model = buildModel("MLA", { width: 256, heads: 8, layers, vocabulary: 512, intermediate: 688 });
  const weights = initialWeights(model, device, 1);
  const began = performance.now();
  // As a load does while weights come.
  await rehearse(device, model, weights, { prompts: [1] });
  const ready = (performance.now() - began) / 1000;
  const session = new Session(model, weights, { context: count + 8 });
  let id = 3;
  const seconds: number[] = [];
  const launched: number[] = [];
  for (let i = 0; i < count; i++) {
    const [start, before] = [performance.now(), launchesOf(device)];
    const logits = session.append(Int32Array.of(id), { logits: "last" });
    const row = Float32Array.from(await logits.read());
    logits.free();
    id = row.indexOf(row.reduce((most, x) => Math.max(most, x)));
    seconds.push((performance.now() - start) / 1000);
    launched.push(launchesOf(device) - before);
  }
  session.free();
  return { seconds, launches: launched.at(-1)!, ready };
}

function launchesOf(device: Device): number {
  return device instanceof WebgpuDevice ? device.counts.launches : 0;
}

/** Opens a checkpoint on a device for one sequence, over a cache of numbers of the given type. */
export async function openCheckpoint(
  device: Device,
  file: string,
  { context, cache }: { readonly context: number; readonly cache: CacheType },
): Promise<Runner> {
  const session = (await load(file, { device })).session({ context, cache });
  let row = new Float32Array(0);
  return {
    get length() {
      return session.length;
    },
    get lastLogits() {
      return row;
    },
    async append(ids) {
      let next = 0;
      for (let at = 0; at < ids.length; at += 512) {
        const logits = session.append(Int32Array.from(ids.slice(at, at + 512)), { logits: "last" });
        row = (await logits.read()) as Float32Array<ArrayBuffer>;
        logits.free();
        next = 0;
        for (let i = 1; i < row.length; i++) if (row[i]! > row[next]!) next = i;
      }
      return next;
    },
    truncate: (length) => session.rewind(length),
  };
}

/** A parameter's name in model.ts. */
function fileName(name: string): string {
  const names: Record<string, string> = {
    embed: "embedding",
    normAttention: "norm1",
    normFeed: "norm2",
    wGate: "gate",
    wUp: "up",
    wDown: "down",
  };
  const parts = name.split(".");
  const last = parts.at(-1)!;
  return parts[0] === "layers" ? `${parts[1]}.${names[last] ?? last}` : (names[last] ?? last);
}

function randomTensor(device: Device, random: Random, shape: readonly number[]): Tensor {
  const t = new Tensor(device, shape);
  return t.write(Float32Array.from({ length: t.size }, () => random.uniform() * 2 - 1));
}

/** Compares some elements of a product with float64. */
async function check(
  tensors: readonly [Tensor, Tensor, Tensor],
  size: readonly [number, number, number],
  random: Random,
) {
  const [a, b, c] = await Promise.all(tensors.map((t) => t.read()));
  const [m, n, k] = size;
  for (let i = 0; i < 16; i++) {
    const [row, column] = [random.integer(m), random.integer(n)];
    let [sum, size] = [0, 0];
    for (let j = 0; j < k; j++) {
      const product = a![row * k + j]! * b![j * n + column]!;
      sum += product;
      size += Math.abs(product);
    }
    const rounded = isHalf(tensors[0].device) ? 2 ** -10 * size : 0;
    const got = c![row * n + column]!;
    if (!(Math.abs(got - sum) < 1e-5 * k + rounded))
      throw new Error(`bench: element ${row},${column} got ${got}, expected ${sum}`);
  }
}

let warm = false;

/**
 * Repeats `call` for about `seconds`, at least three times; the first call of a process warms up for half a second. On a device
 * that enqueues, a sample is as many calls as take 20 ms, and the wait for their end.
 */
async function measure(device: Device, call: () => void, seconds: number): Promise<Timing> {
  const gpu = device.kind === "webgpu";
  let calls = 1;
  const once = async () => {
    for (let i = 0; i < calls; i++) call();
    if (gpu) await device.fence();
  };
  const warmUntil = performance.now() + (warm ? 50 : 500);
  do await once();
  while (performance.now() < warmUntil);
  warm = true;
  if (gpu) {
    const start = performance.now();
    await once();
    calls = Math.max(1, Math.min(200, Math.round(20 / (performance.now() - start))));
  }
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (times.length < 3 || performance.now() < end) {
    const start = performance.now();
    await once();
    times.push((performance.now() - start) / 1000 / calls);
  }
  times.sort((x, y) => x - y);
  return { median: times[Math.floor(times.length / 2)]!, best: times[0]!, runs: times.length };
}
