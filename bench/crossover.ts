/**
 * Which form of attention is faster, measured and predicted, over context and step size at the head sizes of three models.
 *
 *   node bench/crossover.ts [--threads N] [--contexts 1024,4096] [--steps 1,16,64] [--types f32,bf16] [--model NAME] [--json FILE]
 *
 * One thread, by the processor time that it takes, so that whatever else runs on the machine disturbs little; with --threads by the
 * wall, on a machine that has nothing else to do. Rates are measured anew before each model, since a shared host's speed drifts.
 * Weights and caches of several layers take turns, so they come from memory as in a model. Some six minutes.
 */
import { writeFileSync } from "node:fs";
import { readOptions } from "../scripts/options.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { crossoverChunk, type Machine, rivalsOf } from "../src/cost/crossover.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { wall } from "../src/measure/clock.ts";
import { crossoverGrid, type GridPoint } from "../src/measure/grid.ts";
import { tune } from "../src/measure/tune.ts";
import type { CacheType } from "../src/tensor/page.ts";

const models = {
  "DeepSeek-V2-Lite": ["MLA:n128:r64:v128:c512", { width: 2048, heads: 16 }],
  MiniCPM3: ["MLA-QLoRA:n64:r32:v64:c256:q768", { width: 2560, heads: 40 }],
  "GLM-4.7-Flash": ["MLA-QLoRA:n192:r64:v256:c512:q768", { width: 2048, heads: 20 }],
} as const;

const { values } = readOptions({
  options: {
    threads: { type: "string" },
    seconds: { type: "string", default: "0.25" },
    tune: { type: "string", default: "15" },
    contexts: { type: "string", default: "1024,4096,16384" },
    steps: { type: "string", default: "1,8,32,128,512" },
    types: { type: "string", default: "f32" },
    model: { type: "string" },
    json: { type: "string" },
  },
});
const list = (text: string) => text.split(",").map(Number);

const cell = new Int32Array(new SharedArrayBuffer(4));
/** Processor seconds of this thread. The system counts them in ticks of milliseconds, but exactly when a thread sleeps. */
function processor(): number {
  Atomics.wait(cell, 0, 0, 0.01);
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

/** What a point shows: forms over the latents, of which one token may be decoded, and over unfolded keys and values. */
function classOf({ t, cached, form }: GridPoint): string {
  if (cached === "unfolded") return t === 1 ? "decode, expanded cache" : "prefill, expanded cache";
  return t === 1 && form === "expanded" ? "decode, unfolding" : `${t === 1 ? "decode" : "prefill"}, ${form}`;
}

const error = ({ measured, predicted }: GridPoint) => predicted / measured - 1;
const percent = (x: number) => `${x < 0 ? "-" : "+"}${Math.abs(100 * x).toFixed(0)}%`;

/** A line per step: what each form takes, and how far off its prediction is. */
function print(model: string, points: readonly GridPoint[]): void {
  for (const group of Map.groupBy(points, ({ s, t, type }) => `${s - t} ${t} ${type}`).values()) {
    const { s, t, type } = group[0]!;
    const fastest = (by: "measured" | "predicted") => group.toSorted((a, b) => a[by] - b[by])[0]!;
    const [seen, said] = [fastest("measured"), fastest("predicted")];
    const name = ({ cached, form }: GridPoint) => (cached === "unfolded" ? "expanded cache" : form);
    const times = group.map(
      (point) => `${(1000 * point.measured).toFixed(2).padStart(10)} ${percent(error(point)).padStart(5)}`,
    );
    const note = seen === said ? "" : ` (predicted ${name(said)})`;
    console.log(
      `${model.padEnd(18)}${String(s - t).padStart(7)}${String(t).padStart(6)} ${type} |${times.join(" |")} | ${name(seen)}${note}`,
    );
  }
}

const device = await WasmDevice.open({ threads: Number(values.threads ?? 1) });
const clock = values.threads ? wall : processor;
console.log(
  `${device.threads} ${device.threads === 1 ? "thread" : "threads"}, ${device.build} build, ms and error of the prediction`,
);
console.log("model              cached   new      |        expanded |        absorbed |  expanded cache | fastest");
const results: { model: string; machine: Machine; points: GridPoint[] }[] = [];
for (const [model, [spec, host]] of Object.entries(models)) {
  if (values.model && values.model !== model) continue;
  const attention = parseSpec(spec, host);
  const machine = await tune(device, { seconds: Number(values.tune), clock });
  const points = await crossoverGrid(device, attention, machine, {
    contexts: list(values.contexts),
    steps: list(values.steps),
    types: values.types.split(",") as CacheType[],
    seconds: Number(values.seconds),
    clock,
  });
  print(model, points);
  const chunk = crossoverChunk(rivalsOf(attention)!, { s: 8192 }, machine);
  console.log(`${model}: predicted to change form at ${chunk.toFixed(0)} new tokens over 8192`);
  results.push({ model, machine, points });
}
const all = results.flatMap(({ points }) => points);
const within = (points: readonly GridPoint[], limit: number) =>
  points.filter((p) => Math.abs(error(p)) <= limit).length;
for (const [name, points] of [...Map.groupBy(all, classOf), ["all", all] as const]) {
  const errors = points.map(error).sort((a, b) => a - b);
  console.log(
    `${name.padEnd(24)} within 15 %: ${within(points, 0.15)} of ${points.length}, within 25 %: ${within(points, 0.25)}; ` +
      `errors ${percent(errors[0]!)} to ${percent(errors.at(-1)!)}, median ${percent(errors[errors.length >> 1]!)}`,
  );
}
if (values.json)
  writeFileSync(values.json, `${JSON.stringify({ threads: device.threads, build: device.build, results }, null, 1)}\n`);
device.close();
