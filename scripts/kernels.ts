/**
 * Compiles the AssemblyScript kernels (`*.as.ts`, entry src/device/kernels.as.ts) in three builds and writes them, as
 * base64 text, to src/device/binary.ts. Does nothing where that file is newer than every source; `--force` compiles anyway.
 */
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "src/device/binary.ts");
const sources = [
  "src/device/layout.ts",
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

const age = (file: string) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (process.argv.includes("--force") || sources.some((file) => age(file) > age("src/device/binary.ts"))) {
  const folder = mkdtempSync(join(tmpdir(), "biform-"));
  let text =
    "// Written by scripts/kernels.ts.\n\n/** The kernels' three builds as base64 wasm. */\nexport const binaries = {\n";
  for (const [name, flags] of Object.entries(builds)) {
    const out = join(folder, `${name}.wasm`);
    const { error, stderr } = await main(
      ["src/device/kernels.as.ts", "--baseDir", root, "--outFile", out, ...common, ...flags],
      {},
    );
    if (error) {
      console.error(stderr.toString());
      throw new Error(`kernels: the ${name} build failed: ${error.message}`);
    }
    text += `  ${name}:\n    "${readFileSync(out).toString("base64")}",\n`;
  }
  writeFileSync(target, `${text}} as const;\n`);
  rmSync(folder, { recursive: true });
}
