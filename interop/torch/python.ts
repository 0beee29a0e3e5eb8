/** The Python that these tests run: the one that `npm run test:torch` has installed, or BIFORM_PYTHON. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const here = import.meta.dirname;
export const python = process.env.BIFORM_PYTHON ?? join(here, ".venv", "bin", "python");

/** Runs a script of this folder with lines on its input, and gives each line of its output as it comes. Throws where it fails. */
export async function* runPython(script: string, lines: readonly string[]): AsyncGenerator<string> {
  const child = spawn(python, [join(here, script)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  let told = "";
  child.stderr.on("data", (data) => {
    told = (told + data).slice(-4000);
  });
  const ended = once(child, "exit");
  child.stdin.end(lines.map((line) => `${line}\n`).join(""));
  yield* createInterface(child.stdout);
  const [status] = await ended;
  if (status !== 0) throw new Error(`${script}: got exit status ${status}, expected 0\n${told}`);
}
