/**
 * All that a GPU is to be asked while it is at hand, in the order of its worth, each part within its share of the time: whether its kernels
 * are right, file by file, whether the two forms agree, what it takes for each form, and how fast its kernels are beside what it can do.
 * A part that runs out of time says how far it got, and is tried once more in the time that others leave over.
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

/** Ops of every kernel, in their awkward sizes, by how long they take; a process with threads, since one under another C library cannot start itself again. */
const tests = {
  ...{ gputiles: 1, gpumatrix: 1, gpuexpert: 1, pagesgpu: 1, gpusparse: 2 },
  ...{ attendgpu: 2, gpuproducts: 2, gpupacked: 2, "law/webgpu": 4 },
};
const vitest = ["node_modules/vitest/vitest.mjs", "run", "--pool=threads", "--reporter=verbose"];
/** What of the bench is measured, by its share. */
const speeds = { bandwidth: 0.18, products: 0.12, tokens: 0.1, training: 0.1 };

interface Part {
  readonly name: string;
  /** Of the whole time. */
  readonly share: number;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const weights = Object.values(tests).reduce((sum, weight) => sum + weight, 0);
const parts: readonly Part[] = [
  ...Object.entries(tests).map(([name, weight]) => ({
    name: name.replace("/", "-"),
    share: (0.3 * weight) / weights,
    args: [...vitest, `test/${name}.test.ts`],
  })),
  { name: "forms", share: 0.1, args: ["bin/biform.js", "verify", "MLA", "--device", "webgpu"] },
  {
    name: "tune",
    share: 0.1,
    args: ["bin/biform.js", "tune", "--device", "webgpu", "--file", join(log, "machine.json")],
  },
  ...Object.entries(speeds).map(([name, share]) => ({
    name,
    share,
    args: ["bench/run.ts", "webgpu", "--rounds", "2", "--seconds", "0.2", "--json", join(log, `${name}.json`)],
    env: { WEBGPU_PARTS: name },
  })),
];

/** Seconds in which what is asked to stop may do so. */
const GRACE = 3;

/** Runs a part, its words into its file. @returns what became of it. */
function run({ name, args, env }: Part, seconds: number): Promise<string> {
  return new Promise((done) => {
    const file = createWriteStream(join(log, `${name}.txt`));
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...gpuVariables(), ...env, NO_COLOR: "1" },
      detached: true,
    });
    let [late, last] = [false, ""];
    // Its own processes too: a peer that hangs would keep the card.
    const stop = (signal: NodeJS.Signals) => {
      try {
        process.kill(-child.pid!, signal);
      } catch {
        // It has ended meanwhile.
      }
    };
    const timers = [
      setTimeout(() => {
        late = true;
        stop("SIGINT");
      }, seconds * 1000),
      setTimeout(() => stop("SIGKILL"), (seconds + GRACE) * 1000),
    ];
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipe(file, { end: false });
      stream.on("data", (words: Buffer) => {
        if (late) return;
        last = words.toString().trim().split("\n").at(-1)?.trim() || last;
      });
    }
    child.on("close", (code) => {
      for (const timer of timers) clearTimeout(timer);
      file.end();
      const got = last ? `, and got to "${last.slice(0, 120)}"` : ", and said nothing";
      done(late ? `not done in ${Math.round(seconds)} s${got}` : code === 0 ? "done" : `failed (${code})`);
    });
  });
}

mkdirSync(log, { recursive: true });
const end = performance.now() + minutes * 60_000;
/** Runs parts one after the other: what one leaves over is shared by those after it. @returns those that were not done, or failed. */
async function runAll(list: readonly Part[]): Promise<Part[]> {
  const open: Part[] = [];
  let shares = list.reduce((sum, { share }) => sum + share, 0);
  for (const part of list) {
    const { name, share } = part;
    const began = performance.now();
    const own = ((end - began) * share) / shares / 1000;
    const said = await run(part, own - Math.min(GRACE, own / 4));
    shares -= share;
    if (said !== "done") open.push(part);
    console.log(`${name}: ${said}, ${((performance.now() - began) / 1000).toFixed(0)} s; ${join(log, `${name}.txt`)}`);
  }
  return open;
}

/** Seconds that must be left for what was not done to be tried again. */
const WORTH = 10;
let open = await runAll(parts);
if (open.length && performance.now() + WORTH * 1000 < end) {
  console.log(`${open.length} parts once more, in the time that is left`);
  open = await runAll(open);
}
if (open.length) console.log(`not done, or failed: ${open.map(({ name }) => name).join(", ")}`);
process.exitCode = open.length ? 1 : 0;
