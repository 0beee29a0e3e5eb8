/**
 * Measures Biform beside other engines, in turns, and prints ratios.
 *
 *   node bench/run.ts [gemm|attention|decode|packed|family|train|torch|busy|memory|older|llama|serve|transformers|webgpu|all]
 *     [--json FILE] [--rounds N] [--seconds S] [--threads 1,2] [--base FOLDER] [--competitors 0,1,2]
 *     [--work training,decoding,prefill] [--quick]
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions } from "../scripts/options.ts";
import { attention } from "./attention.ts";
import { busy, works } from "./busy.ts";
import { decode } from "./decode.ts";
import { family } from "./family.ts";
import { gemm } from "./gemm.ts";
import { llama } from "./llama.ts";
import { disturbance, machine, ticks } from "./machine.ts";
import { memory } from "./memory.ts";
import { writeModel } from "./model.ts";
import { older } from "./older.ts";
import { packed } from "./packed.ts";
import { type Plan, print, type Table } from "./section.ts";
import { serve } from "./serve.ts";
import { torch } from "./torch.ts";
import { train } from "./train.ts";
import { transformers } from "./transformers.ts";
import { webgpu } from "./webgpu.ts";

const sections: Readonly<Record<string, (plan: Plan) => Promise<Table[]>>> = {
  gemm,
  attention,
  decode,
  packed,
  family,
  train,
  torch,
  busy,
  memory,
  older,
  llama,
  serve,
  transformers,
  webgpu,
};
const { values, positionals } = readOptions({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    threads: { type: "string" },
    base: { type: "string" },
    competitors: { type: "string", default: "0,1,2" },
    work: { type: "string", default: works.join(",") },
  },
});
const [wanted = "all"] = positionals;
// What a GPU can do has sizes of its own, by the adapter.
const all = Object.keys(sections).filter((name) => !(values.quick && name === "webgpu"));
const chosen = wanted === "all" ? all : [wanted];
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));
const seconds = Number(values.seconds ?? (quick ? 0.1 : 0.3));
const threads = (values.threads ?? (quick ? "2" : "1,2")).split(",").map(Number);
const chosenWorks = works.filter((work) => values.work.split(",").includes(work));
const competitors = values.competitors.split(",").map(Number);
if (
  !chosen.every((name) => sections[name]) ||
  !(rounds >= 1) ||
  !(seconds > 0) ||
  !threads.every((t) => t >= 1) ||
  !chosenWorks.length ||
  !competitors.every((n) => n >= 0)
) {
  console.error(
    "bench: expected [gemm|attention|decode|packed|family|train|torch|busy|memory|older|llama|serve|transformers|webgpu|all] [--json FILE] [--rounds N] [--seconds S] [--threads 1,2] [--base FOLDER] [--competitors 0,1,2] [--work training,decoding,prefill] [--quick]",
  );
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "biform-bench-"));
const facts = machine();
console.log(
  `${facts.cpu}, ${facts.cores} cores (${facts.features.join(" ")}), ${facts.memoryGiB} GiB, ${facts.kernel}`,
);
console.log(`Node ${facts.node}, V8 ${facts.v8}; ${rounds} rounds, threads ${threads.join(" and ")}\n`);
const before = ticks();
const found: Record<string, Table[]> = {};
const versions = new Map<string, string>();
try {
  writeModel(folder);
  const report = (line: string) => console.error(`  ${line}`);
  for (const name of chosen) {
    const start = performance.now();
    found[name] = await sections[name]!({
      rounds,
      seconds,
      quick,
      threads,
      folder,
      base: values.base,
      works: chosenWorks,
      competitors,
      report,
      versions,
    });
    for (const table of found[name]) console.log(`${print(table)}\n`);
    report(`${name} took ${((performance.now() - start) / 1000).toFixed(0)} s`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
const disturbed = disturbance(before, ticks());
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
console.log(
  `Of the processor time meanwhile, other processes used ${percent(disturbed.others)} and the host took ${percent(disturbed.stolen)}.`,
);
for (const [engine, version] of versions) if (engine !== "Biform") console.log(`${engine}: ${version}`);
if (values.json) {
  const settings = { rounds, seconds, quick, threads, base: values.base, competitors };
  writeFileSync(
    values.json,
    `${JSON.stringify({ machine: facts, versions: Object.fromEntries(versions), settings, disturbed, sections: found }, null, 1)}\n`,
  );
}
