/** Every variant of the family on this device: training steps by their FLOPs, other weights beside softmax, linear attention by context. */

import { Cache } from "../src/attention/cache.ts";
import type { Parts } from "../src/attention/define.ts";
import { paramsOf, shapeOf } from "../src/attention/define.ts";
import { type Attention, runAttention } from "../src/attention/layer.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { shownSpecs } from "../src/cost/catalogue.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { buildModel } from "../src/model/build.ts";
import { parametersOf } from "../src/model/model.ts";
import { attend, type View } from "../src/ops/attend/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { attendFactored } from "../src/ops/factored/index.ts";
import { positionsOf } from "../src/ops/rope/index.ts";
import { Random } from "../src/tensor/random.ts";
import { scope, type TapeNode, Tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { Optimiser, optimiserDefaults } from "../src/train/optimiser.ts";
import { trainStep } from "../src/train/step.ts";
import { trainFlopsPerToken } from "../src/train/train.ts";
import { interleave } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/** The training case's sizes (model.ts), with each variant in the place of MHA. */
const model = { vocabulary: 2048, width: 256, heads: 4, layers: 4, intermediate: 688 };
const [length, count] = [256, 8];
const specs = [...new Set([...shownSpecs.filter((spec) => !spec.includes("DSA")), "MLA-DSA64"])];

type Turn = { readonly name: string; turn(): Promise<{ median: number; best: number; runs: number }> };

/** Repeats `call` for about `seconds`, at least twice, after once to warm up. */
async function timed(call: () => unknown, seconds: number) {
  await call();
  const times: number[] = [];
  const end = performance.now() + 1000 * seconds;
  while (times.length < 2 || performance.now() < end) {
    const start = performance.now();
    await call();
    times.push((performance.now() - start) / 1000);
  }
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1]!, best: times[0]!, runs: times.length };
}

/** Lines of `work` per second, each beside the one named `first`, of which at least `least` is asked. */
async function table(
  title: string,
  unit: string,
  rounds: number,
  work: readonly (Turn & { readonly amount: number })[],
  least?: number,
): Promise<Table> {
  const results = await interleave(rounds, work);
  const lines = results.map((r, i): Line => {
    const { amount } = work[i]!;
    return { engine: r.name, median: amount / r.median, best: amount / r.best };
  });
  const first = lines[0]!;
  return { title, unit, lines: lines.map((l) => (l === first ? l : { ...l, ratios: ratio(l, first, least) })) };
}

export async function family({ rounds, seconds, threads }: Plan): Promise<Table[]> {
  const tables: Table[] = [];
  for (const t of threads) {
    const device = await WasmDevice.open({ threads: t });
    tables.push(
      await table(
        `training step by its FLOPs, ${t}T`,
        "GFLOP/s",
        rounds,
        specs.map((s) => training(device, s)),
        1 / 1.5,
      ),
    );
    for (const pass of ["forward", "backward"] as const)
      for (const [name, shape] of Object.entries(shapes)) {
        const lines = Object.entries(weighings).map(([weights, view]) =>
          weighing(device, weights, shape, view, pass, seconds),
        );
        tables.push(await table(`weights, ${name}, ${pass}, ${t}T`, "calls/s", rounds, lines, 1 / 1.3));
      }
    const contexts = [1024, 4096, 16384];
    for (const spec of ["KDA", "GDN"]) {
      const prefill = contexts.map((n) => prefilling(device, spec, n, seconds));
      tables.push(await table(`${spec} chunked by context, ${t}T`, "tokens/s", rounds, prefill, 0.9));
    }
    const steps = ["KDA", "MLA"].flatMap((spec) => contexts.map((n) => decoding(device, spec, n, seconds)));
    tables.push(await table(`one layer's decoding after a context, ${t}T`, "tokens/s", rounds, steps));
    tables.push(await table(`TPA decoding over 8192 tokens, ${t}T`, "calls/s", rounds, factors(device, seconds)));
    device.close();
  }
  return tables;
}

function training(device: WasmDevice, spec: string) {
  const built = buildModel(spec, model);
  const weights = initialWeights(built, device, 1);
  const optimiser = new Optimiser(device, parametersOf(built), optimiserDefaults);
  const ids = Int32Array.from({ length: length * count }, (_, i) => (i * 7919) % model.vocabulary);
  return {
    name: spec,
    amount: (trainFlopsPerToken(built, length) * length * count) / 1e9,
    turn: () => timed(() => trainStep(built, weights, optimiser, { count, length, ids, targets: ids }, 1e-4), 0),
  };
}

const shapes = {
  "8 x 256, 4 x 64": { batch: 8, t: 256, h: 4, e: 64 },
  "2048, 4 x 64": { batch: 1, t: 2048, h: 4, e: 64 },
};
/** Gates as a trained model has them, about 0.9. */
const weighings: Readonly<Record<string, (device: WasmDevice, rows: number, h: number) => Partial<View>>> = {
  softmax: () => ({}),
  "forget gates": (device, rows, h) => ({
    decay: new Tensor(device, [rows, h]).write(
      Float32Array.from({ length: rows * h }, (_, i) => -0.1 * Math.floor(i / h)),
    ),
  }),
  "stick-breaking": () => ({ stick: { current: false, remainder: true } }),
};

function weighing(
  device: WasmDevice,
  name: string,
  { batch, t, h, e }: (typeof shapes)[keyof typeof shapes],
  view: (typeof weighings)[string],
  pass: "forward" | "backward",
  seconds: number,
) {
  const random = new Random(1);
  const tensor = () => new Tensor(device, [batch * t, h, e]).write(random.normals(batch * t * h * e));
  const [q, k, v, g] = [tensor(), tensor(), tensor(), tensor()];
  // Scores low enough that stick-breaking passes no key over: its dearest case.
  const bias = name === "stick-breaking" ? low(q, k) : [];
  const all: View = { scale: e ** -0.5, batch, ...view(device, batch * t, h) };
  const run = () => attend(v, all, [q, k], ...bias);
  if (pass === "forward") return { name, amount: 1, turn: () => timed(() => run().free(), seconds) };
  const nodes: TapeNode[] = [];
  for (const x of [q, k, v]) x.recorder = { record: (node) => nodes.push(node) };
  run();
  const node = nodes.find(({ name: op }) => op === "attend" || op === "stick")!;
  const wanted = node.inputs.map((x) => x === q || x === k || x === v);
  const none = node.inputs.map(() => undefined);
  const turn = () =>
    timed(() => {
      for (const x of node.backward(g, wanted, none)) x?.free();
    }, seconds);
  return { name, amount: 1, turn };
}

/** A term that is about -5 after scaling, for every pair. */
function low(q: Tensor, k: Tensor): [Tensor, Tensor][] {
  const ones = (t: Tensor, x: number) => {
    const shape = [...t.shape.slice(0, 2), 1];
    return new Tensor(t.device, shape).write(new Float32Array(shape[0]! * shape[1]!).fill(x));
  };
  return [[ones(q, -40), ones(k, 1)]];
}

interface Layer {
  readonly attention: Attention;
  readonly p: Parts;
}

function layer(device: WasmDevice, spec: string): Layer {
  const attention = parseSpec(spec, { width: 256, heads: 4 });
  const random = new Random(1);
  const p = Object.fromEntries(
    paramsOf(attention.variant, attention.sizes).map(([name, axes]) => {
      const shape = shapeOf(axes, attention.sizes);
      const t = new Tensor(device, shape);
      return [name, t.write(random.normals(t.size, shape[0]! ** -0.5))];
    }),
  );
  return { attention, p };
}

const hidden = (device: WasmDevice, n: number) => new Tensor(device, [n, 256]).write(new Random(2).normals(n * 256));

function prefilling(device: WasmDevice, spec: string, n: number, seconds: number) {
  const { attention, p } = layer(device, spec);
  const [x, positions] = [hidden(device, n), positionsOf(0, n)];
  const run = () => scope(device, () => void runAttention(attention, p, x, { positions, form: "chunked" }));
  return { name: `${n} tokens`, amount: n, turn: () => timed(run, seconds) };
}

function decoding(device: WasmDevice, spec: string, n: number, seconds: number) {
  const { attention, p } = layer(device, spec);
  const form = spec === "MLA" ? "absorbed" : "recurrent";
  const cache = new Cache(device, attention, n + 1);
  scope(device, () => void runAttention(attention, p, hidden(device, n), { positions: positionsOf(0, n), cache }));
  const [x, positions] = [hidden(device, 1), positionsOf(n, 1)];
  const run = () => {
    // A state goes on instead: its steps cost the same wherever they stand.
    if (spec === "MLA") cache.rewind(n);
    scope(device, () => void runAttention(attention, p, x, { positions, form, cache }));
  };
  return { name: `${spec} after ${n}`, amount: 1, turn: () => timed(run, seconds) };
}

/** One query over keys and values put together, and over their factors alone. */
function factors(device: WasmDevice, seconds: number) {
  const [s, h, e, rank] = [8192, 16, 64, 2];
  const random = new Random(1);
  const tensor = (...shape: number[]) => {
    const t = new Tensor(device, shape);
    return t.write(random.normals(t.size));
  };
  const [q, ak, bk, av, bv] = [
    tensor(1, h, e),
    tensor(s, h, rank),
    tensor(s, rank, e),
    tensor(s, h, rank),
    tensor(s, rank, e),
  ];
  const [k, v] = [einsum("s h r, s r e -> s h e", ak, bk), einsum("s h r, s r e -> s h e", av, bv)];
  const view = { scale: e ** -0.5 };
  const mib = (numbers: number) => `${((4 * numbers) / 2 ** 20).toFixed(1)} MiB`;
  return [
    {
      name: `put together: ${mib(2 * s * h * e)}`,
      amount: 1,
      turn: () => timed(() => attend(v, view, [q, k]).free(), seconds),
    },
    {
      name: `factors: ${mib(2 * s * rank * (h + e))}`,
      amount: 1,
      turn: () => timed(() => attendFactored({ q, ak, bk, av, bv }, view).free(), seconds),
    },
  ];
}
