/**
 * All that a GPU is to be asked while it is at hand, in the order of its worth, each part within its share of the time: whether it is
 * right, whether the two forms agree, what it takes for each form, and how fast its kernels are beside what it can do.
 *
 *   node scripts/card.ts [--minutes 8] [--log FOLDER]
 *
 * Sizes are those of a real card; a software one takes small ones, by the variables of bench/webgpu.ts. What each part says goes to a
 * file of FOLDER. The exit status is 1 where a part failed or ran out of time.
 */
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gpuVariables } from "./gpu.ts";
import { readOptions } from "./options.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = readOptions({
  options: { minutes: { type: "string", default: "8" }, log: { type: "string", default: "card" } },
});
const minutes = Number(values.minutes);
const log = resolve(values.log);
if (!(minutes > 0)) {
  console.error(`card: --minutes got ${values.minutes}, expected a number above 0`);
  process.exit(2);
}

/** Ops of every kernel, in their awkward sizes; a process with threads, since one under another C library cannot start itself again. */
const tests = [
  "attendgpu",
  "gputiles",
  "gpumatrix",
  "gpusparse",
  "gpuproducts",
  "gpupacked",
  "gpuexpert",
  "pagesgpu",
  "law/webgpu",
];
const vitest = ["node_modules/vitest/vitest.mjs", "run", "--pool=threads"];

/** What is run, and its share of the whole time. */
const parts: readonly (readonly [name: string, share: number, args: readonly string[]])[] = [
  ["kernels", 0.3, [...vitest, ...tests.map((name) => `test/${name}.test.ts`)]],
  ["forms", 0.1, ["bin/biform.js", "verify", "MLA", "--device", "webgpu"]],
  ["tune", 0.1, ["bin/biform.js", "tune", "--device", "webgpu"]],
  ["speed", 0.5, ["bench/run.ts", "webgpu", "--rounds", "2", "--seconds", "0.2", "--json", join(log, "speed.json")]],
];

/** Runs a part, its words into its file. @returns what became of it. */
function run(name: string, seconds: number, args: readonly string[]): Promise<string> {
  return new Promise((done) => {
    const file = createWriteStream(join(log, `${name}.txt`));
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...gpuVariables() },
      detached: true,
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      // Its own processes too: a peer that hangs would keep the card.
      process.kill(-child.pid!, "SIGKILL");
    }, seconds * 1000);
    for (const stream of [child.stdout, child.stderr]) stream.pipe(file, { end: false });
    child.on("close", (code) => {
      clearTimeout(timer);
      file.end();
      done(late ? `not done in ${Math.round(seconds)} s` : code === 0 ? "done" : `failed (${code})`);
    });
  });
}

mkdirSync(log, { recursive: true });
let failed = false;
let left = minutes * 60;
let shares = 1;
for (const [name, share, args] of parts) {
  // What a part leaves over is shared by those after it.
  const began = performance.now();
  const said = await run(name, (left * share) / shares, args);
  const took = (performance.now() - began) / 1000;
  left -= took;
  shares -= share;
  failed ||= said !== "done";
  console.log(`${name}: ${said}, ${took.toFixed(0)} s; ${join(log, `${name}.txt`)}`);
}
process.exitCode = failed ? 1 : 0;
