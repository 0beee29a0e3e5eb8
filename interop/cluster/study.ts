import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const command = join(root, "bin", "biform.js");

/** Two variants, three seeds, some seconds of one processor for each run. */
const study =
  "--variants MHA,MLA --seeds 3 --width 32 --layers 1 --heads 4 --length 64 --batch 8 --steps 600 --evaluations 2 --held-out 1 --contexts 16 --data recall --pairs 4".split(
    " ",
  );

/** Losses by variant and seed, as a result has them. */
export type Losses = readonly (readonly [spec: string, seeds: readonly (number | null)[]])[];

export function lossesOf(file: string): Losses {
  const { variants } = JSON.parse(readFileSync(file, "utf8")) as {
    variants: { spec: string; seeds: { loss: number | null }[] }[];
  };
  return variants.map(({ spec, seeds }) => [spec, seeds.map(({ loss }) => loss)]);
}

/** Writes the experiment and gives what a comparison of the same makes here, without any engine. */
export function layOut(dir: string): { readonly file: string; readonly losses: Losses } {
  const [file, result] = [join(dir, "study.json"), join(dir, "local.json")];
  execFileSync(process.execPath, [command, "compare", ...study, "--experiment", file], { stdio: "ignore" });
  execFileSync(process.execPath, [command, "compare", ...study, "--json", result, "--state", join(dir, "state")], {
    stdio: "ignore",
  });
  return { file, losses: lossesOf(result) };
}

/** A command at work: `said` is what it told so far; `end` gives its exit code. */
export function begin(words: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const child = spawn(process.execPath, [command, "compare", ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const end = new Promise<number | null>((done) => child.on("close", done));
  return { child, end, said: () => said };
}

/** Has an engine do the experiment while `disturb` looks on, and gives the losses; throws with what was said where it fails. */
export async function doOn(
  words: readonly string[],
  { file, out, env, disturb }: { file: string; out: string; env?: NodeJS.ProcessEnv; disturb: () => Promise<void> },
): Promise<{ readonly losses: Losses; readonly said: string }> {
  const result = join(out, "result.json");
  const { end, said } = begin(["--run", file, "--out", out, "--threads", "1", "--json", result, ...words], env);
  // Whoever looks on waits for what a command that has failed will never do.
  const whole = end.then((code) => {
    if (code !== 0) throw new Error(`compare ended with ${code}: ${said()}`);
  });
  await Promise.all([whole, disturb()]);
  return { losses: lossesOf(result), said: said() };
}

/** Waits until a run has a checkpoint, so that it is in its middle. */
export async function untilCheckpoint(out: string): Promise<void> {
  const found = () =>
    readdirSync(out, { withFileTypes: true }).some(
      (key) => key.isDirectory() && readdirSync(join(out, key.name)).includes("checkpoint"),
    );
  while (!existsSync(out)) await wait(200);
  while (!found()) await wait(200);
}
