/**
 * Compiles the AssemblyScript kernels (entry src/device/kernels.as.ts) in three builds and writes them, as base64 text, to
 * src/device/binary.ts. Does nothing where that file is newer than every source; `--force` compiles anyway.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { main } from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "src/device/binary.ts");
const entry = "src/device/kernels.as.ts";

/** `simd`: any machine. `relaxed`: fused multiply-add. `wide`: the same with tiles for V8's 256-bit revectorisation. */
const builds = {
  simd: ["--use", "WIDE=0"],
  relaxed: ["--use", "WIDE=0", "--enable", "relaxed-simd"],
  wide: ["--use", "WIDE=1", "--enable", "relaxed-simd"],
};

const common = [
  "-O3",
  "--noAssert",
  "--runtime",
  "stub",
  "--memoryBase",
  "8192",
  "--importMemory",
  "--sharedMemory",
  "--zeroFilledMemory",
  "--initialMemory",
  "2",
  "--maximumMemory",
  "65536",
  "--enable",
  "simd",
  "--enable",
  "threads",
];

/** One build, as base64 wasm. Throws what the compiler said. */
async function build(name: keyof typeof builds): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "biform-"));
  try {
    const out = join(folder, "kernels.wasm");
    const files = [entry, "--baseDir", root, "--outFile", out];
    const { error, stderr } = await main([...files, ...common, ...builds[name]], {});
    if (error) throw new Error(`kernels: the ${name} build failed: ${error.message}\n${stderr}`);
    return readFileSync(out).toString("base64");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same in a thread of its own, so that the builds use all cores. */
function buildApart(name: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const worker = new Worker(new URL(import.meta.url), { workerData: name });
  worker.on("message", resolve).on("error", reject);
  return promise;
}

/** Whether some source is newer than what was compiled. */
function isStale(): boolean {
  const compiled = age("src/device/binary.ts");
  return ["scripts/kernels.ts", ...sourcesOf(entry)].some((file) => age(file) > compiled);
}

/** A file and all that it imports, however far: `*.as.ts`, and constants that are compiled as TypeScript too. */
function sourcesOf(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, path] of readFileSync(join(root, file), "utf8").matchAll(/ from "(\.[^"]+)"/g))
    sourcesOf(join(dirname(file), path!.endsWith(".ts") ? path! : `${path}.ts`), found);
  return found;
}

const age = (file: string) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (!isMainThread) parentPort!.postMessage(await build(workerData));
else if (process.argv.includes("--force") || isStale()) {
  const names = Object.keys(builds);
  const compiled = await Promise.all(names.map(buildApart));
  const entries = names.map((name, i) => `  ${name}:\n    "${compiled[i]}",\n`).join("");
  const text = `// Written by scripts/kernels.ts.\n\n/** The kernels' three builds as base64 wasm. */\nexport const binaries = {\n${entries}} as const;\n`;
  writeFileSync(target, text);
}
