import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Answer, askProgram, type Silence } from "./program.ts";

/** The package's entry: of the working folder, or of the one in which this checkout compares logits. */
function entryOf(): string | undefined {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  return [process.cwd(), join(root, "parity"), join(root, "..", "parity")]
    .map((folder) => join(folder, "node_modules", "node-llama-cpp", "dist", "index.js"))
    .find((entry) => existsSync(entry));
}

/**
 * llama.cpp's logits of all tokens on a GGUF file, with a float32 cache and without flash attention, which would round keys and values;
 * and what it says that a cache of 16 bits takes. Its addon aborts the process where it does not like a file, so it has one of its own.
 */
export async function askLlama(file: string, ids: readonly number[]): Promise<Answer | Silence> {
  const entry = entryOf();
  if (!entry)
    return { silent: "node-llama-cpp is not installed here (npm ci --prefix parity, or npm install node-llama-cpp)" };
  // A file: the package starts processes by the words that this one was started with.
  const dir = await mkdtemp(join(tmpdir(), "biform-llama-"));
  try {
    await writeFile(join(dir, "ask.mjs"), program);
    const asked = JSON.stringify({ file: resolve(file), ids, entry: pathToFileURL(entry).href });
    return await askProgram(process.execPath, [join(dir, "ask.mjs"), asked], undefined);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** What runs there: the addon below the package's classes gives every logit in float32, as in parity/llama.ts. */
const program = `
const { file, ids, entry } = JSON.parse(process.argv[2]);
const { getLlama, LlamaLogLevel } = await import(entry);
const said = [];
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, progressLogs: false,
  logLevel: LlamaLogLevel.info, logger: (level, message) => said.push(message) });
const { AddonModel, AddonContext, AddonSampler } = llama._bindings;
const model = new AddonModel(file, { addonExports: llama._bindings, gpuLayers: 0, useMmap: true });
if (!(await model.init())) {
  // What it logs arrives later.
  for (let i = 0; i < 40 && !said.some((line) => /error/i.test(line)); i++) await new Promise((done) => setTimeout(done, 50));
  console.error(said.find((line) => /error/i.test(line))?.trim() || "llama.cpp does not load it");
  process.exit(1);
}
const open = async (contextSize, type) => {
  const context = new AddonContext(model, { contextSize, batchSize: Math.min(512, contextSize), sequences: 1,
    flashAttention: false, threads: 2, kvCacheKeyType: type, kvCacheValueType: type });
  if (!(await context.init())) throw new Error("llama.cpp gives no context");
  return context;
};
const context = await open(Math.max(64, ids.length), 0);
const sampler = new AddonSampler(model);
sampler.applyConfig({ temperature: 0 });
context.initBatch(ids.length);
const places = context.addToBatch(0, 0, Uint32Array.from(ids), Uint32Array.from(ids.keys()));
await context.decodeBatch();
const rows = [];
for (const place of places) {
  const [, , , pairs] = await context.sampleToken(place, sampler, false, false, true);
  const row = new Float32Array(pairs.length / 2);
  for (let k = 0; k < pairs.length; k += 2) row[pairs[k]] = pairs[k + 1];
  rows.push(Buffer.from(row.buffer));
}
await context.dispose();
said.length = 0;
const cells = 4096;
await (await open(cells, 1)).dispose();
const sizes = () => said.flatMap((line) => { const size = /llama_kv_cache: size = +([\\d.]+) MiB/.exec(line)?.[1]; return size ? [Number(size)] : []; });
for (let i = 0; i < 100 && !sizes().length; i++) await new Promise((done) => setTimeout(done, 50));
const mib = sizes().reduce((a, b) => a + b, 0);
await model.dispose();
const answer = JSON.stringify({ version: "llama.cpp " + llama.llamaCppRelease.release, taken: "GGUF",
  cache: mib ? Math.round((mib * 2 ** 20) / cells / 2) : undefined,
  runs: [{ numbers: "float32", logits: Buffer.concat(rows).toString("base64") }] });
// Megabytes into a pipe are not there yet when this returns.
process.stdout.write(answer + "\\n", () => process.exit(0));
`;
