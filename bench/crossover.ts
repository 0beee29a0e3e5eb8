/**
 * Which form of attention is faster, measured and predicted, over context and step size at the head sizes of three models.
 *
 *   node bench/crossover.ts [--seconds S] [--contexts 1024,4096] [--steps 1,16,64] [--model NAME] [--json FILE]
 *
 * One thread, by the processor time that it takes, so that whatever else runs on the machine disturbs little.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Cache } from "../src/attention/cache.ts";
import { crossoverChunk, type Machine, predict, rivalsOf } from "../src/attention/crossover.ts";
import { paramsOf, shapeOf } from "../src/attention/define.ts";
import { type Attention, runAttention } from "../src/attention/layer.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { expandedCache } from "../src/attention/unfold.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { tune } from "../src/lab/tune.ts";
import { positionsOf } from "../src/ops/rope/index.ts";
import { Random } from "../src/tensor/random.ts";
import { scope, Tensor } from "../src/tensor/tensor.ts";

const models = {
  "DeepSeek-V2-Lite": ["MLA:n128:r64:v128:c512", { width: 2048, heads: 16 }],
  MiniCPM3: ["MLA-QLoRA:n64:r32:v64:c256:q768", { width: 2560, heads: 40 }],
  "GLM-4.7-Flash": ["MLA-QLoRA:n192:r64:v256:c512:q768", { width: 2048, heads: 20 }],
} as const;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "0.25" },
    contexts: { type: "string", default: "1024,4096,8192" },
    steps: { type: "string", default: "1,8,32,64,128,256,512" },
    model: { type: "string" },
    json: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const list = (text: string) => text.split(",").map(Number);

/**
 * Processor seconds of a run: the least mean of several batches. The system counts in ticks of a few milliseconds, so a batch is long;
 * a core's other thread slows some batches down, so the least counts.
 */
function processorTime(run: () => void, wanted: number): number {
  const now = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1e6;
  };
  run();
  let least = Number.POSITIVE_INFINITY;
  for (let all = 0, batch = 0; all < wanted || batch < 3; batch++) {
    const start = now();
    let [runs, taken] = [0, 0];
    do {
      run();
      runs++;
      taken = now() - start;
    } while (taken < BATCH);
    least = Math.min(least, taken / runs);
    all += taken;
  }
  return least;
}

/** Seconds. */
const BATCH = 0.03;

interface Point {
  readonly model: string;
  readonly s: number;
  readonly t: number;
  /** Seconds of a layer by form, measured and predicted. */
  readonly measured: Readonly<Record<string, number>>;
  readonly predicted: Readonly<Record<string, number>>;
}

/** One layer over a cache of s - t tokens, all of it random. */
function measure(device: WasmDevice, attention: Attention, forms: readonly string[], s: number, t: number) {
  const random = new Random(1);
  const { variant, sizes } = attention;
  const made: Tensor[] = [];
  const filled = (shape: readonly number[]) => {
    const x = new Tensor(device, shape);
    made.push(x);
    return x.write(random.normals(x.size, 0.1));
  };
  const p = Object.fromEntries(paramsOf(variant, sizes).map(([name, axes]) => [name, filled(shapeOf(axes, sizes))]));
  const x = filled([t, sizes.d]);
  const cache = new Cache(device, attention, s);
  scope(device, () => {
    const rows = Object.fromEntries(
      Object.entries(cache.rows).map(([name, { shape }]) => [name, filled([s - t, ...shape.slice(1)])]),
    );
    cache.append(rows, s - t);
  });
  for (const rows of made.splice(1 + Object.keys(p).length)) rows.free();
  const positions = positionsOf(s - t, t);
  const times = forms.map((form) =>
    processorTime(() => {
      scope(device, () => runAttention(attention, p, x, { positions, form, cache }));
      cache.rewind(s - t);
    }, seconds),
  );
  cache.free();
  for (const y of made) y.free();
  return times;
}

function print(points: readonly Point[]): void {
  console.log(
    "model             context   new | expanded ms (predicted) | absorbed ms (predicted) | expanded cache (pred.) | faster",
  );
  for (const { model, s, t, measured, predicted } of points) {
    const pair = (form: string) =>
      `${(1000 * measured[form]!).toFixed(2).padStart(10)} (${(1000 * predicted[form]!).toFixed(2).padStart(9)})`;
    const best = (of: Readonly<Record<string, number>>) => (of.expanded! < of.absorbed! ? "expanded" : "absorbed");
    const [seen, said] = [best(measured), best(predicted)];
    console.log(
      `${model.padEnd(18)}${String(s).padStart(7)}${String(t).padStart(6)} | ${pair("expanded")} | ${pair("absorbed")} | ${pair("kept")} | ${seen}${seen === said ? "" : ` (predicted ${said})`}`,
    );
  }
}

const device = await WasmDevice.open({ threads: 1 });
const machine: Machine = await tune(device, { seconds: 5 * seconds, time: async (run, s) => processorTime(run, s) });
console.log(`one thread, ${device.build} build:`, JSON.stringify(machine));
const points: Point[] = [];
for (const [model, [spec, host]] of Object.entries(models)) {
  if (values.model && values.model !== model) continue;
  const attention = parseSpec(spec, host);
  const kept = { ...attention, variant: expandedCache(attention.variant)! };
  for (const s of list(values.contexts))
    for (const t of list(values.steps)) {
      if (t > s) continue;
      const names = ["expanded", "absorbed"];
      const [expanded, absorbed] = measure(device, attention, names, s, t);
      const [cached] = measure(device, kept, ["expanded"], s, t);
      const said = (of: Attention, form: string) => predict(of, form, { t, s }, machine).total;
      points.push({
        ...{ model, s, t },
        measured: { expanded: expanded!, absorbed: absorbed!, kept: cached! },
        predicted: {
          expanded: said(attention, "expanded"),
          absorbed: said(attention, "absorbed"),
          kept: said(kept, "expanded"),
        },
      });
      if (points.length === 1) print(points);
      else print(points.slice(-1));
    }
  const chunk = crossoverChunk(rivalsOf(attention)!, { s: 8192 }, machine);
  console.log(`${model}: predicted to change form at ${chunk.toFixed(0)} new tokens over 8192`);
}
const errors = points.flatMap(({ measured, predicted }) =>
  Object.keys(measured).map((form) => Math.abs(predicted[form]! / measured[form]! - 1)),
);
errors.sort((a, b) => a - b);
const share = (limit: number) => `${errors.filter((e) => e <= limit).length} of ${errors.length}`;
console.log(
  `predicted within 15 %: ${share(0.15)}; within 30 %: ${share(0.3)}; median error ${(100 * errors[errors.length >> 1]!).toFixed(0)} %`,
);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, points }, null, 1)}\n`);
device.close();
