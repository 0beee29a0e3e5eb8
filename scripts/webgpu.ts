// npm run test:webgpu: all tests that need a GPU, whole (see test/extent.ts), on every driver that there is: the machine's own or
// SwiftShader, and the one that BIFORM_VULKAN names: a driver's JSON file, or a folder with icd.json and, where the driver needs a
// C library of its own, a program `run` that starts another under it. A driver that is Mesa's lavapipe takes the width of its
// subgroups from a variable, and runs with each. Where BIFORM_DENO names a Deno, the laws also run there, through a second compiler of
// WGSL: naga, which Firefox has too.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gpuVariables } from "./gpu.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Bits of a vector in lavapipe: subgroups of 4, 8 and 16 threads. */
const WIDTHS = [128, 256, 512];
/** Minutes after which a driver hangs. */
const LIMIT = 60;

interface Driver {
  readonly name: string;
  /** What starts Node under it. */
  readonly start: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter(
    (file) => file.endsWith(".test.ts") && readFileSync(join(root, "test", file), "utf8").includes("fixture/gpu.ts"),
  )
  .map((file) => join("test", file));

/** The driver that is asked for, with each width of its subgroups. */
function given(place: string): readonly Driver[] {
  const folder = statSync(place).isDirectory();
  const file = folder ? join(place, "icd.json") : place;
  if (!existsSync(file))
    throw new Error(`BIFORM_VULKAN: got ${place}, expected a driver's JSON file, or a folder with icd.json`);
  const runner = folder ? join(place, "run") : "";
  const start = existsSync(runner) ? [runner, "node"] : [process.execPath];
  const env = { VK_ICD_FILENAMES: file, VK_DRIVER_FILES: file };
  if (!readFileSync(file, "utf8").includes("lvp")) return [{ name: file, start, env }];
  return WIDTHS.map((width) => ({
    name: `lavapipe, subgroups of ${width / 32}`,
    start,
    env: { ...env, LP_NATIVE_VECTOR_WIDTH: String(width) },
  }));
}

const wanted = process.env.BIFORM_VULKAN;
const drivers = [
  { name: "the system's driver, or SwiftShader", start: [process.execPath], env: gpuVariables() },
  ...(wanted ? given(resolve(wanted)) : []),
];
const failed: string[] = [];
const began = performance.now();
/** Minutes since `from`, for a log. */
const minutes = (from: number) => `${((performance.now() - from) / 60_000).toFixed(1)} min`;
for (const { name, start, env } of drivers) {
  console.log(`\n== ${name}`);
  const from = performance.now();
  const [command = "", ...before] = start;
  // A process that is started under another C library cannot start itself again: threads can.
  const words = [...before, join(root, "node_modules", "vitest", "vitest.mjs"), "run", "--pool=threads", ...files];
  const { status, signal } = spawnSync(command, words, {
    cwd: root,
    env: { ...process.env, ...env, BIFORM_LONG: "1" },
    stdio: "inherit",
    timeout: LIMIT * 60_000,
    killSignal: "SIGKILL",
  });
  if (status !== 0) failed.push(signal ? `${name} (${signal})` : name);
  console.log(`${name}: ${minutes(from)}`);
}
const deno = process.env.BIFORM_DENO;
if (deno) {
  console.log("\n== naga, by Deno");
  const from = performance.now();
  // On the driver that is given, with subgroups of 8 where it has several: Chromium's takes many times as long.
  const { start, env } = drivers[Math.min(2, drivers.length - 1)]!;
  const [command = "", ...words] = [...start.slice(0, -1), deno, "run", "--unstable-webgpu", "-A", "test/law/plain.ts"];
  const { status } = spawnSync(command, words, {
    cwd: root,
    // Deno would take OpenGL where Vulkan is only named by a variable.
    env: { ...process.env, ...env, DENO_WEBGPU_BACKEND: "vulkan", BIFORM_LONG: "1" },
    stdio: "inherit",
    timeout: LIMIT * 60_000,
    killSignal: "SIGKILL",
  });
  if (status !== 0) failed.push("naga");
  console.log(`naga: ${minutes(from)}`);
}
const runs = drivers.length + (deno ? 1 : 0);
for (const name of failed) console.error(`failed: ${name}`);
console.log(`${runs - failed.length} drivers passed, ${failed.length} failed, ${minutes(began)}`);
process.exitCode = failed.length ? 1 : 0;
