import type { Command } from "commander";
import { parseSpec } from "../attention/spec.ts";
import { expandedCache } from "../attention/unfold.ts";
import { crossoverChunk, crossoverContext, type Machine, type Rate, rivalsOf } from "../cost/crossover.ts";
import { type DeviceName, openDevice } from "../device/open.ts";
import type { Measured } from "../file/figures.ts";
import { cpuName, keepMachine, machinePath } from "../file/rates.ts";
import { tune } from "../measure/tune.ts";
import { interruptible } from "./interrupt.ts";
import { deviceOption, positiveOption, wholeOption } from "./option.ts";
import { progress } from "./progress.ts";

interface Options {
  threads?: number;
  device: DeviceName;
  seconds: number;
  file?: string;
  json?: true;
}

const examples = `
Examples:
  biform tune                      a quarter of a minute; close what else is running
  biform tune --threads 1          figures for runs with one thread are kept beside the others
  biform tune --device webgpu      the same of a GPU
  biform tune --json | jq .machine.attend

The figures decide in which form attention runs (expanded or absorbed). Without them common ones serve.`;

/** Builds of wasm; any other is the name of a GPU. */
const builds: ReadonlySet<string> = new Set(["simd", "relaxed", "wide"]);

/** Head sizes whose crossovers are shown. */
const shown = [
  ["DeepSeek-V2-Lite", "MLA:n128:r64:v128:c512", { width: 2048, heads: 16 }],
  ["MiniCPM3", "MLA-QLoRA:n64:r32:v64:c256:q768", { width: 2560, heads: 40 }],
  ["GLM-4.7-Flash", "MLA-QLoRA:n192:r64:v256:c512:q768", { width: 2048, heads: 20 }],
] as const;

/** `biform tune`: how fast this machine is at what decides between forms. */
export function tuneCommand(command: Command): void {
  command
    .option("--threads <n>", "threads to measure with; all there are unless given", wholeOption("--threads"))
    .addOption(deviceOption("wasm", "webgpu"))
    .option("--seconds <s>", "time for all measurements", positiveOption("--seconds"), 9)
    .option("--file <path>", "where to keep the figures; in your configuration folder unless given")
    .option("--json", "print JSON")
    .addHelpText("after", examples)
    .action(run);
}

async function run({ device: name, threads, seconds: wanted, file = machinePath(), json }: Options): Promise<void> {
  const device = await openDevice(name, threads);
  const interrupt = interruptible();
  const start = performance.now();
  const display = progress({ title: "tune", total: 1 });
  let machine: Machine;
  try {
    const watch = (done: number, total: number, label: string) => display.update({ done: done / total, label });
    machine = await tune(device, { seconds: wanted, signal: interrupt.signal, watch });
    await display.finish();
  } catch (error) {
    await display.finish(interrupt.signal.aborted ? "tune: stopped, nothing was kept" : undefined);
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = 130;
    return;
  } finally {
    interrupt.end();
    device.close();
  }
  const date = new Date().toISOString();
  const measured: Measured = { cpu: cpuName(), build: device.build!, threads: device.threads, date, machine };
  await keepMachine(measured, file);
  const found = crossovers(machine);
  const seconds = (performance.now() - start) / 1000;
  if (json) console.log(JSON.stringify({ file, seconds, ...measured, crossovers: found }, null, 2));
  else console.log(`${text(measured, found)}\n\nKept in ${file}, after ${seconds.toFixed(1)} s`);
}

/** Where forms change places on a machine, for known models. */
function crossovers(machine: Machine) {
  return shown.map(([model, spec, host]) => {
    const attention = parseSpec(spec, host);
    const [expanded, absorbed] = rivalsOf(attention)!;
    const kept = { attention: { ...attention, variant: expandedCache(attention.variant)! }, form: expanded.form };
    return {
      model,
      /** New tokens up to which absorbed is faster over 8192 tokens. */
      chunk: crossoverChunk([expanded, absorbed], { s: 8192 }, machine),
      /** Tokens from which on decoding over latents is faster than over keys and values, null for never. */
      context: finite(crossoverContext([kept, absorbed], { t: 1 }, machine)),
    };
  });
}

const finite = (x: number) => (Number.isFinite(x) ? x : null);

function text({ cpu, build, threads, machine }: Measured, found: ReturnType<typeof crossovers>): string {
  const { contract, attend, widen, op } = machine;
  const line = (name: string, ...figures: readonly string[]) => `  ${name.padEnd(38)}${figures.join("")}`;
  const figure = (x: number, unit: string) => `${x.toFixed(1).padStart(9)} ${unit}`;
  const row = (name: string, { bytes, flops, rows }: Rate) =>
    line(
      name,
      figure(bytes / 1e9, "GB/s"),
      figure(flops / 1e9, "GFLOP/s"),
      rows ? figure(1e9 / rows, "ns a row of a head") : "",
    );
  return [
    builds.has(build)
      ? `${cpu}, ${threads} ${threads === 1 ? "thread" : "threads"}, ${build} build`
      : `webgpu, ${build}`,
    row("contraction, up to 4 rows", contract.few),
    row("contraction, more rows", contract.many),
    row("attention, up to 4 queries per key", attend.few),
    row("attention, more queries per key", attend.many),
    row("attention, one key for all heads", attend.shared),
    ...(widen ? [line("16 bits made 32", figure((4 * widen) / 1e9, "GB/s"))] : []),
    line("an op, whatever its size", figure(op * 1e6, "us")),
    "",
    "Absorbed is faster for so many new tokens over 8192, and decoding over latents faster",
    "than over keys and values from so many tokens on:",
    ...found.map(({ model, chunk, context }) => {
      const from = context === null ? "never" : Math.ceil(context) <= 2 ? "always" : `${Math.ceil(context)} tokens`;
      return `  ${model.padEnd(34)}${Math.floor(chunk).toString().padStart(8)} new ${from.padStart(12)}`;
    }),
  ].join("\n");
}
