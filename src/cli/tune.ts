import type { Command } from "commander";
import { crossoverChunk, crossoverContext, type Machine, type Rate, rivalsOf } from "../attention/crossover.ts";
import { parseSpec } from "../attention/spec.ts";
import { expandedCache } from "../attention/unfold.ts";
import { WasmDevice } from "../device/wasm.ts";
import { cpuName, keepMachine, type Measured, machinePath } from "../file/machine.ts";
import { tune } from "../lab/tune.ts";
import { interruptible } from "./interrupt.ts";
import { positiveOption, wholeOption } from "./option.ts";
import { progress } from "./progress.ts";

interface Options {
  threads?: number;
  seconds: number;
  file?: string;
  json?: true;
}

const examples = `
Examples:
  biform tune                      some ten seconds; close what else is running
  biform tune --threads 1          figures for runs with one thread are kept beside the others
  biform tune --json | jq .machine.attend

The figures decide in which form attention runs (expanded or absorbed). Without them common ones serve.`;

/** Head sizes whose crossovers are shown. */
const shown = [
  ["DeepSeek-V2-Lite", "MLA:n128:r64:v128:c512", { width: 2048, heads: 16 }],
  ["MiniCPM3", "MLA-QLoRA:n64:r32:v64:c256:q768", { width: 2560, heads: 40 }],
  ["GLM-4.7-Flash", "MLA-QLoRA:n192:r64:v256:c512:q768", { width: 2048, heads: 20 }],
] as const;

/** `biform tune`: how fast this machine is at what decides between forms. */
export function tuneCommand(program: Command): void {
  program
    .command("tune")
    .description("measure this machine, so that attention runs in the faster form")
    .option("--threads <n>", "threads to measure with; all there are unless given", wholeOption("--threads"))
    .option("--seconds <s>", "time for each of nine measurements", positiveOption("--seconds"), 1)
    .option("--file <path>", "where to keep the figures; in your configuration folder unless given")
    .option("--json", "print JSON")
    .addHelpText("after", examples)
    .action(run);
}

async function run({ threads, seconds, file = machinePath(), json }: Options): Promise<void> {
  const device = await WasmDevice.open(threads ? { threads } : {});
  const interrupt = interruptible();
  const display = progress({ title: "tune", total: 1 });
  let machine: Machine;
  try {
    const watch = (done: number, total: number, label: string) => display.update({ done: done / total, label });
    machine = await tune(device, { seconds, signal: interrupt.signal, watch });
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
  const measured: Measured = { cpu: cpuName(), build: device.build, threads: device.threads, date, machine };
  await keepMachine(measured, file);
  const found = crossovers(machine);
  console.log(json ? JSON.stringify({ file, ...measured, crossovers: found }, null, 2) : text(measured, found, file));
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

function text({ cpu, build, threads, machine }: Measured, found: ReturnType<typeof crossovers>, file: string): string {
  const row = (name: string, { bytes, flops }: Rate) =>
    `  ${name.padEnd(34)}${(bytes / 1e9).toFixed(1).padStart(8)} GB/s${(flops / 1e9).toFixed(1).padStart(9)} GFLOP/s`;
  return [
    `${cpu}, ${threads} ${threads === 1 ? "thread" : "threads"}, ${build} build`,
    row("contraction, up to 4 rows", machine.contract.few),
    row("contraction, many rows", machine.contract.many),
    row("attention, up to 4 rows per key", machine.attend.few),
    row("attention, many rows per key", machine.attend.many),
    `  ${"a small op".padEnd(34)}${(machine.op * 1e6).toFixed(1).padStart(8)} us`,
    "",
    "Absorbed is faster for so many new tokens over 8192, and decoding over latents faster",
    "than over keys and values from so many tokens on:",
    ...found.map(({ model, chunk, context }) => {
      const from = context === null ? "never" : Math.ceil(context) <= 2 ? "always" : `${Math.ceil(context)} tokens`;
      return `  ${model.padEnd(34)}${Math.floor(chunk).toString().padStart(8)} new ${from.padStart(12)}`;
    }),
    "",
    `Kept in ${file}`,
  ].join("\n");
}
