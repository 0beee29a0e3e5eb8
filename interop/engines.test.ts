// The command lines of `biform plan --serve` before the engines' own parsers: each option comes out as it was printed, and the folders
// that `biform export` writes are taken for the classes that are said. No model is loaded, which takes a GPU.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { exportModel } from "../src/convert/export.ts";
import { groupOf } from "../src/cost/group.ts";
import { biform } from "../src/family/biform.ts";
import { pathOfPreset } from "../src/plan/launch/find.ts";
import { type EngineName, engineNames, enginesBy } from "../src/plan/launch/flag.ts";
import { type Launch, launchOf } from "../src/plan/launch/launch.ts";
import { openPlan } from "../src/plan/open.ts";
import type { PlanSettings } from "../src/plan/plan.ts";
import { presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { ShapeError } from "../src/tensor/error.ts";

const pythons: Record<EngineName, string | undefined> = {
  vllm: process.env.BIFORM_VLLM,
  sglang: process.env.BIFORM_SGLANG,
};

/** Why an engine is not asked; undefined where it is. */
function lacks(engine: EngineName): string | undefined {
  const [python, name] = [pythons[engine], `BIFORM_${engine.toUpperCase()}`];
  if (python === undefined) return `no ${name}, which names a Python that has ${enginesBy[engine].title}`;
  return existsSync(python) ? undefined : `${name} got ${python}, which is not there`;
}

/** What is written for other engines, of each architecture, and what they are to take it for. */
const written = [
  ["MHA", "LlamaForCausalLM"],
  ["GQA2-128-QKNorm", "Qwen3ForCausalLM"],
  ["MLA", "DeepseekV3ForCausalLM"],
  ["MLA-QLoRA", "DeepseekV3ForCausalLM"],
  ["MLA-QLoRA-DSA4:c512:r64:i128", "DeepseekV32ForCausalLM"],
  ["MLA-NoPE", "KimiLinearForCausalLM"],
  ["[KDA-PlainGate,MLA-NoPE]", "KimiLinearForCausalLM"],
] as const;

const dir = mkdtempSync(join(tmpdir(), "biform-engines-"));
const folder = (i: number) => join(dir, `written-${i}`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeAll(async () => {
  for (const [i, [attention]] of written.entries()) {
    const sizes = { hidden_size: 64, intermediate_size: 80, num_attention_heads: 4, num_hidden_layers: 2 };
    const config = { model_type: "biform", attention, ...sizes, vocab_size: 300, max_position_embeddings: 64 };
    await writeSampleFolder(join(dir, `own-${i}`), biform.read(config), { seed: 1, type: "F32" });
    await exportModel(join(dir, `own-${i}`), folder(i));
  }
});

const settings: PlanSettings = {
  context: 32,
  batch: 16,
  step: 1,
  weightType: "file",
  cacheType: "float16",
  hosts: [],
  layouts: [],
};

async function launchesOfWritten(engine: EngineName): Promise<Launch[]> {
  const launches: Launch[] = [];
  for (const [i] of written.entries()) {
    const blueprint = await openPlan(folder(i));
    launches.push(launchOf(blueprint, { engine, path: folder(i), group: groupOf("8xh200"), settings }));
  }
  return launches;
}

/** Of every preset that the engine runs, one node and two, in 16 bits and in 8. */
function launchesOfPresets(engine: EngineName): Launch[] {
  return presets.flatMap((preset) =>
    (["8xh200", "16xb200"] as const).flatMap((machine) =>
      (["float16", "float8"] as const).flatMap((cacheType) => {
        const blueprint = blueprintOfConfig(preset.config, preset.name);
        const asked = { ...settings, cacheType, step: 1 };
        try {
          return [
            launchOf(blueprint, { engine, path: pathOfPreset(preset), group: groupOf(machine), settings: asked }),
          ];
        } catch (error) {
          // What an engine does not run, or what does not fit there, has no command line.
          if (error instanceof ShapeError || (error as Error).name === "FormatError") return [];
          throw error;
        }
      }),
    ),
  );
}

interface Told {
  readonly refused?: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly model?: { readonly classes: readonly string[]; readonly dtype: string; readonly latent: boolean } | null;
}

/** What the engine's parser makes of the commands, in their order, and its version. */
function ask(engine: EngineName, commands: readonly (readonly string[])[]): { version: string; told: Told[] } {
  // Of two nodes the second, as it would be called there.
  const words = commands.map((command) =>
    command.map((word) => word.replaceAll("$NODE", "1").replaceAll("$HEAD", "10.0.0.1")),
  );
  const { stdout, stderr, status } = spawnSync(pythons[engine]!, [join(import.meta.dirname, "engines.py"), engine], {
    input: words.map((command) => `${JSON.stringify(command)}\n`).join(""),
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
    maxBuffer: 2 ** 28,
  });
  expect(status, stderr.slice(-3000)).toBe(0);
  // Packages print lines of their own.
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  const [first, ...told] = lines.map((line) => JSON.parse(line));
  return { version: first.version, told };
}

/** An option's value as the command line has it. */
const spelled = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value));

describe.each(engineNames)("%s", (engine) => {
  const reason = lacks(engine);
  if (reason) console.log(`engines.test.ts: ${engine} is skipped: ${reason}`);

  test.skipIf(reason)("takes every command line that is printed for it, option by option", async () => {
    const own = await launchesOfWritten(engine);
    const launches = [...own, ...launchesOfPresets(engine)];
    expect(launches.length).toBeGreaterThan(250);
    const [start, path] = [enginesBy[engine].start, folder(0)];
    const wrong = [...start, path, "--max-modell-len", "6"];
    const { version, told } = ask(engine, [...launches.map(({ command }) => command), wrong]);
    if (version !== enginesBy[engine].version)
      console.log(`engines.test.ts: ${engine} is ${version}, plans are for ${enginesBy[engine].version}`);
    expect(told).toHaveLength(launches.length + 1);
    expect(told.at(-1)!.refused).toMatch(/--max-modell-len/);
    for (const [i, { command, flags }] of launches.entries()) {
      const { refused, options = {} } = told[i]!;
      expect([command, refused]).toEqual([command, undefined]);
      const said = flags.map(({ flag, value }) => {
        const [plain, on] = [options[flag.slice(2).replaceAll("-", "_")], "True"];
        return [flag, plain === true ? on : spelled(plain), value === undefined ? on : value] as const;
      });
      for (const [flag, found, value] of said) {
        const expected = value.replace("$NODE", "1").replace("$HEAD", "10.0.0.1");
        expect([command, flag, found]).toEqual([command, flag, expected]);
      }
    }
    // And what lies in the folders is the class that is said, in the type that is said, over one latent where it is MLA.
    for (const [i, [spec, own]] of written.entries()) {
      const { class: named } = launches[i]!;
      const { classes, dtype, latent } = told[i]!.model!;
      expect([spec, named, classes, dtype, latent]).toEqual([spec, own, [own], "bfloat16", spec.includes("MLA")]);
    }
  });
});
