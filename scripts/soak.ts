// Loads a server from many clients for as long as wanted: node scripts/soak.ts [--minutes 60] [--clients 24] [--seed N] [--url URL --key KEY].
// Without --url it starts `biform serve` over two models of random weights, latents alone and with states, watches its memory, deletes
// files under its --cache-dir, and at the end starts it anew over a damaged one and takes the folder away. Ends with 1 on any fault.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../src/tensor/random.ts";
import { readOptions } from "./options.ts";
import { get, type Target } from "./soak/ask.ts";
import { askAgain, goOut } from "./soak/errands.ts";
import { askAlone } from "./soak/known.ts";
import { makeModel, residentOf, type Server, startServer } from "./soak/server.ts";

const { values } = readOptions({
  options: {
    minutes: { type: "string", default: "60" },
    clients: { type: "string", default: "24" },
    seed: { type: "string", default: "1" },
    url: { type: "string" },
    key: { type: "string", multiple: true, default: [] },
  },
});
const milliseconds = Number(values.minutes) * 60_000;
const clients = Number(values.clients);
if (!(milliseconds > 0) || !(clients >= 1) || !Number.isSafeInteger(Number(values.seed))) {
  console.error("--minutes, --clients and --seed are numbers");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "biform-soak-"));
const cache = join(folder, "cache");
const models = [join(folder, "latents.gguf"), join(folder, "states")];
const ownKeys = ["first", "second", "third"];
const settings = [..."--context 1024 --slots 6 --queue 8 --prefixes 64MiB --isolate --cache-dir".split(" "), cache];
const start = () => startServer(models, [...settings, ...ownKeys.flatMap((key) => ["--api-key", key])]);
const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const faults: string[] = [];
const fail = (text: string) => {
  if (faults.push(text) <= 20) console.error(`fault: ${text}`);
};

/** Deletes or damages a file of a prefix that was kept. */
function harmCache(random: Random): void {
  const files = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const file = files[random.integer(files.length)];
  if (!file) return;
  const path = join(file.parentPath, file.name);
  if (random.integer(2)) rmSync(path, { force: true });
  else writeFileSync(path, "no prefix");
}

/** Load from all clients until the time is over; resident MiB as they were. */
async function load(target: Target, server: Server | undefined): Promise<number[]> {
  const known = await askAlone(target, await namesOf(target));
  console.log(`${known.length} answers known`);
  const end = performance.now() + milliseconds;
  const keys = target.keys.length ? target.keys : [undefined];
  const counts = new Map<string, number>();
  let full = 0;
  const resident: number[] = [];
  const random = new Random(Number(values.seed));
  const watch = setInterval(() => {
    if (!server) return;
    if (!server.runs) fail("server: it has ended");
    else resident.push(residentOf(server.pid));
    if (resident.length % 5 === 0) harmCache(random);
  }, 2000);
  let [minute, seen, last] = [0, 0, 0];
  const report = async () => {
    const all = [...counts.values()].reduce((a, b) => a + b, 0);
    const kinds = [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
    const memory = server
      ? `, ${median(resident.slice(Math.min(seen, resident.length - 1))).toFixed(0)} MiB resident, of which caches ${(await cachesOf(target)).toFixed(0)}`
      : "";
    console.log(
      `minute ${++minute}: ${all - last} requests${memory}, ${faults.length} faults, ${full} turned away; in all ${all}: ${kinds}`,
    );
    [seen, last] = [resident.length, all];
  };
  const timer = setInterval(() => void report().catch((error) => fail(`metrics: ${error.message}`)), 60_000);
  await Promise.all(
    Array.from({ length: clients }, async (_, i) => {
      const key = keys[i % keys.length];
      const bag = {
        target: { url: target.url, keys: key === undefined ? [] : [key] },
        random: new Random(Number(values.seed) * 1000 + i),
        known,
      };
      while (performance.now() < end && (server?.runs ?? true)) {
        const [name, outcome] = await goOut(bag);
        counts.set(name, (counts.get(name) ?? 0) + 1);
        if (outcome === "full") full++;
        else if (outcome !== "well") fail(`${name}: ${outcome.fault}`);
      }
    }),
  );
  clearInterval(watch);
  clearInterval(timer);
  await report();
  for (const text of await askAgain(target, known)) fail(`afterwards: ${text}`);
  if (server) await outlive(server, known);
  return resident;
}

async function namesOf(target: Target): Promise<string[]> {
  const { data } = await (await get(target, "/v1/models")).json();
  return data.map(({ id }: { id: string }) => id);
}

/** MiB of all caches, those of kept prefixes included. */
async function cachesOf(target: Target): Promise<number> {
  const text = await (await get(target, "/metrics")).text();
  return (
    [...text.matchAll(/^biform_engine_cache_bytes\{.*\} (.*)$/gm)].reduce((sum, one) => sum + Number(one[1]), 0) /
    2 ** 20
  );
}

/** A restart over files of which some are damaged; then the folder goes while the server runs. */
async function outlive(server: Server, known: Awaited<ReturnType<typeof askAlone>>): Promise<void> {
  const code = await server.stop();
  if (code !== 0) fail(`server: got exit code ${code}, expected 0 after what ran had ended`);
  for (const line of server.complaints.slice(0, 20)) fail(`server said: ${line}`);
  for (let i = 0; i < 5; i++) harmCache(new Random(i));
  const again = await start();
  try {
    const target = { url: again.url, keys: ownKeys };
    for (const text of await askAgain(target, known)) fail(`after a restart: ${text}`);
    rmSync(cache, { recursive: true });
    writeFileSync(cache, "no folder");
    for (const text of await askAgain({ ...target, keys: [ownKeys[1]!] }, known)) fail(`without a folder: ${text}`);
    const stopped = await again.stop();
    if (stopped !== 0) fail(`server: got exit code ${stopped}, expected 0`);
    for (const line of again.complaints.slice(0, 20)) fail(`server said: ${line}`);
    console.log(`notes after the restart: ${again.notes.length}; ${again.notes.at(-1) ?? "none"}`);
  } finally {
    again.kill();
  }
}

let server: Server | undefined;
try {
  if (values.url === undefined) {
    makeModel(models[0]!, "deepseek2");
    makeModel(models[1]!, "kimi-linear");
    server = await start();
  }
  const target = { url: server?.url ?? values.url!, keys: server ? ownKeys : values.key };
  const resident = await load(target, server);
  const third = Math.floor(resident.length / 3);
  const [before, after] = [median(resident.slice(third, 2 * third)), median(resident.slice(2 * third))];
  // A tenth and 20 MiB: what a collector that has not run yet leaves.
  if (after > 1.1 * before + 20)
    fail(`memory: got ${after.toFixed(0)} MiB in the last third, ${before.toFixed(0)} in the one before`);
  if (server) console.log(`resident: ${before.toFixed(0)} MiB in the second third, ${after.toFixed(0)} in the last`);
  console.log(faults.length ? `${faults.length} faults` : "no fault");
} finally {
  server?.kill();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = faults.length ? 1 : 0;
