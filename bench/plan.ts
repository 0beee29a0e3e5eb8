// How long plans take: `node bench/plan.ts`. One of each preset by itself, then 100 models on 20 machines.
import { hostOf } from "../src/cost/host.ts";
import { machines } from "../src/cost/machine.ts";
import { type PlanSettings, plan } from "../src/plan/plan.ts";
import { presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";

const settings = (hosts: PlanSettings["hosts"]): PlanSettings => ({
  context: 32768,
  batch: 1,
  step: 1,
  weightType: "bfloat16",
  cacheType: "bfloat16",
  hosts,
  layouts: ["dp8", "cp8"],
});
const read = (at: number) => {
  const { config, name } = presets[at % presets.length]!;
  return blueprintOfConfig(config, name);
};
const hosts = Array.from({ length: 20 }, (_, i) => hostOf(machines[i % machines.length]!));
const timed = (run: () => unknown) => {
  const start = performance.now();
  run();
  return performance.now() - start;
};

const cold = timed(() => plan(read(0), settings(hosts.slice(0, 1))));
const single = presets.map((_, i) => timed(() => plan(read(i), settings(hosts.slice(0, 1))))).toSorted((a, b) => a - b);
console.log(
  `one model, one machine: the first ${cold.toFixed(1)} ms; median ${single[single.length >> 1]!.toFixed(2)} ms`,
);
console.log(`the slowest of ${presets.length} presets: ${single.at(-1)!.toFixed(2)} ms`);
const all = timed(() => {
  for (let i = 0; i < 100; i++) plan(read(i), settings(hosts));
});
console.log(`100 models x 20 machines: ${all.toFixed(0)} ms`);
