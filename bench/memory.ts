import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Line, Plan, Table } from "./section.ts";

/** Types of the file's matrices, and tokens of a prompt. */
const { MEMORY_TYPES, MEMORY_PROMPTS = "3,512", MEMORY_SIZE = "450m" } = process.env;

/** The least share of the file in the process that is asked for, of Q8_0: 1 / 1.25. */
const ASKED = 0.8;

/** Bytes of a model's file by the most that the process running it ever held beside its cache. */
export async function memory({ folder, base, threads, report, quick }: Plan): Promise<Table[]> {
  const own = fileURLToPath(new URL("..", import.meta.url));
  const trees = [...(base ? [["Biform, base", resolve(base)] as const] : []), ["Biform", own] as const];
  const tables: Table[] = [];
  for (const type of (MEMORY_TYPES ?? (quick ? "Q8_0" : "Q8_0,Q4_0,F16")).split(",")) {
    const file = join(folder, `memory-${type}.gguf`);
    report(`${type}: writing ${file}`);
    command(own, ["make-model", file, "--size", MEMORY_SIZE, "--type", type]);
    const { size } = statSync(file);
    for (const tokens of MEMORY_PROMPTS.split(",").map(Number)) {
      const lines: Line[] = [];
      for (const [engine, tree] of trees) {
        const ids = Array.from({ length: tokens }, (_, i) => 3 + ((i * 7) % 1000)).join();
        const asked = ["--tokens", ids, "--max-tokens", "4", "--threads", String(Math.max(...threads)), "--json"];
        // Twice: the first run of a tree strips its types.
        const said = [1, 2].map(() => command(tree, ["run", file, ...asked]));
        const { bytes } = JSON.parse(said[1]!) as { bytes: { peak: number; cache: number } };
        const held = bytes.peak - bytes.cache;
        const share = size / held;
        report(`${type}, ${tokens} tokens, ${engine}: ${(1 / share).toFixed(3)} times the file`);
        const target = type === "Q8_0" ? ASKED : undefined;
        const mebibytes = held / 2 ** 20;
        lines.push({
          engine,
          median: mebibytes,
          best: mebibytes,
          ratios: [{ to: "the file", median: share, best: share, target }],
        });
      }
      tables.push({
        title: `memory of ${type}, ${tokens} tokens`,
        unit: "MiB beside the cache; file by process",
        lines,
      });
    }
  }
  return tables;
}

function command(tree: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(tree, "bin", "biform.js"), ...args]);
  if (status !== 0) throw new Error(`bench: ${args[0]} in ${tree} ended with ${status}: ${stderr}`);
  return stdout.toString();
}
