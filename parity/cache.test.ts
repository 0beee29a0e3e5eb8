import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { afterAll, expect, test, vi } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { blueprintOf } from "../src/cost/blueprint.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { usual } from "../src/plan/engine/engine.ts";
import { hasLatents, type Layout, rowsOf } from "../src/plan/engine/layer.ts";
import { llamaParts } from "../src/plan/engine/llamacpp.ts";
import { bytesAt } from "../src/plan/engine/part.ts";
import { models, seed, small } from "../test/logits.ts";

// What llama.cpp says that it allocates for small models, and what src/plan/engine says of the same.

const dir = await mkdtemp(join(tmpdir(), "biform-cache-"));
afterAll(() => rm(dir, { recursive: true, force: true }));

const said: string[] = [];
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.info,
  logger: (_, message) => said.push(message),
});

/** The sizes that llama.cpp printed, in MiB: of caches, and of states. */
function sizesSaid(): number[] {
  return said.flatMap((line) => {
    const size = /(?:llama_kv_cache|llama_memory_recurrent): size = +([\d.]+) MiB/.exec(line)?.[1];
    return size === undefined ? [] : Number(size);
  });
}

const started = [
  { context: 40_000, sequences: 1, type: "F16", keyType: "float16" },
  { context: 40_000, sequences: 3, type: "F16", keyType: "float16" },
  { context: 65_536, sequences: 1, type: "Q8_0", keyType: "q8_0" },
  { context: 65_536, sequences: 1, type: "F32", keyType: "float32" },
] as const;

test.each(models.flatMap(([preset, layout]) => started.map((start) => [preset, layout, start] as const)))(
  "%s, %s, %o",
  async (preset, fileLayout, { context, sequences, type, keyType }) => {
    const file = join(dir, `${preset}-${fileLayout}.gguf`);
    await writeSampleGguf(file, small(preset), { seed, type: "F16", layout: fileLayout });
    const { model } = await loadModel(file, new ReferenceDevice());
    const blueprint = blueprintOf(model, preset);
    const loaded = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
    said.length = 0;
    const opened = await loaded.createContext({
      contextSize: Math.ceil(context / sequences),
      sequences,
      batchSize: 512,
      flashAttention: true,
      experimentalKvCacheKeyType: type,
      experimentalKvCacheValueType: type,
    });
    // What it logs arrives later, the buffer for computing last.
    await vi.waitFor(() => expect(said.join("\n")).toContain("compute buffer size"), { timeout: 20_000 });
    const sizes = sizesSaid();
    await opened.dispose();
    await loaded.dispose();
    // A file that does not have MLA's matrices apart is run as multi-head attention, in every version; MiniCPM3 always.
    const layout: Layout = fileLayout === "joint" || preset === "minicpm3" ? "heads" : "latents";
    expect(hasLatents(blueprint) || layout === "latents").toBe(true);
    const parts = llamaParts(rowsOf(blueprint, layout), { ...usual, sequences, keyType, valueType: keyType })!;
    const mine = bytesAt(parts, Math.ceil(context / sequences)) / 2 ** 20;
    expect(sizes.length).toBeGreaterThan(0);
    const printed = sizes.reduce((sum, size) => sum + size, 0);
    expect(printed).toBeGreaterThan(1);
    expect(Math.abs(mine - printed)).toBeLessThanOrEqual(0.005 * sizes.length + 1e-9);
  },
);
