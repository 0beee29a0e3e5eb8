/**
 * Compiles the AssemblyScript kernels (src/device/kernels.as.ts of the wasm device in three builds, src/convert/double.as.ts of
 * conversions in two) and writes them, as base64 text, to binary.ts beside each. Does nothing where that file is newer than every
 * source; `--force` compiles anyway.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { main } from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const common = ["-O3", "--noAssert", "--runtime", "stub", "--memoryBase", "8192", "--enable", "simd"];
const shared = [
  "--importMemory",
  "--sharedMemory",
  "--zeroFilledMemory",
  "--initialMemory",
  "2",
  "--maximumMemory",
  "65536",
  "--enable",
  "threads",
];

/** A module that is compiled: its entry, and the flags of each build. */
interface Program {
  readonly entry: string;
  readonly builds: Readonly<Record<string, readonly string[]>>;
}

/** `simd`: any machine. `relaxed`: fused multiply-add. `wide`: the same with tiles for V8's 256-bit revectorisation. */
const programs: readonly Program[] = [
  {
    entry: "src/device/kernels.as.ts",
    builds: {
      simd: [...shared, "--use", "WIDE=0"],
      relaxed: [...shared, "--use", "WIDE=0", "--enable", "relaxed-simd"],
      wide: [...shared, "--use", "WIDE=1", "--enable", "relaxed-simd"],
    },
  },
  { entry: "src/convert/double.as.ts", builds: { simd: [], relaxed: ["--enable", "relaxed-simd"] } },
];

const targetOf = ({ entry }: Program) => join(dirname(entry), "binary.ts");

/** One build, as base64 wasm. Throws what the compiler said. */
async function build({ entry, builds }: Program, name: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "biform-"));
  try {
    const out = join(folder, "kernels.wasm");
    const files = [entry, "--baseDir", root, "--outFile", out];
    const { error, stderr } = await main([...files, ...common, ...builds[name]!], {});
    if (error) throw new Error(`${entry}: the ${name} build failed: ${error.message}\n${stderr}`);
    return readFileSync(out).toString("base64");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same in a thread of its own, so that the builds use all cores. */
function buildApart(program: Program, name: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const worker = new Worker(new URL(import.meta.url), { workerData: { program, name } });
  worker.on("message", resolve).on("error", reject);
  return promise;
}

/** Whether some source is newer than what was compiled. */
function isStale(program: Program): boolean {
  const compiled = age(targetOf(program));
  return ["scripts/kernels.ts", ...sourcesOf(program.entry)].some((file) => age(file) > compiled);
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

async function write(program: Program): Promise<void> {
  const names = Object.keys(program.builds);
  const compiled = await Promise.all(names.map((name) => buildApart(program, name)));
  const entries = names.map((name, i) => `  ${name}:\n    "${compiled[i]}",\n`).join("");
  const text = `// Written by scripts/kernels.ts.\n\n/** The builds of ${program.entry} as base64 wasm. */\nexport const binaries = {\n${entries}} as const;\n`;
  writeFileSync(join(root, targetOf(program)), text);
}

if (!isMainThread) parentPort!.postMessage(await build(workerData.program, workerData.name));
else
  await Promise.all(
    programs.filter((program) => process.argv.includes("--force") || isStale(program)).map((program) => write(program)),
  );
