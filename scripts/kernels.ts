/**
 * Compiles the AssemblyScript kernels (`*.as.ts`, entry src/device/kernels.as.ts) in three builds and writes them, as
 * base64 text, to src/device/binary.ts. Does nothing where that file is newer than every source; `--force` compiles anyway.
 */
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { main } from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "src/device/binary.ts");
const sources = [
  "src/device/layout.ts",
  "src/ops/einsum/size.ts",
  "src/tensor/format.ts",
  "scripts/kernels.ts",
  ...globSync("src/**/*.as.ts", { cwd: root }),
];

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
    const entry = ["src/device/kernels.as.ts", "--baseDir", root, "--outFile", out];
    const { error, stderr } = await main([...entry, ...common, ...builds[name]], {});
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

const age = (file: string) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (!isMainThread) parentPort!.postMessage(await build(workerData));
else if (process.argv.includes("--force") || sources.some((file) => age(file) > age("src/device/binary.ts"))) {
  const names = Object.keys(builds);
  const compiled = await Promise.all(names.map(buildApart));
  const entries = names.map((name, i) => `  ${name}:\n    "${compiled[i]}",\n`).join("");
  const text = `// Written by scripts/kernels.ts.\n\n/** The kernels' three builds as base64 wasm. */\nexport const binaries = {\n${entries}} as const;\n`;
  writeFileSync(target, text);
}
