import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { Session } from "../src/generate/session.ts";
import { long } from "./extent.ts";
import { biformLogits, bound, difference, ids, isRouted, models, seed, small, types } from "./logits.ts";

let dir = "";
let wasm: WasmDevice;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2 });
  dir = await mkdtemp(join(tmpdir(), "biform-stay-"));
});
afterAll(async () => {
  wasm.close();
  await rm(dir, { recursive: true, force: true });
});

/** Every model in half of the types, and every type in half of the models, by turns. */
const taken = models.flatMap(([preset, layout], i) =>
  types.filter((_, j) => long || (i + j) % 2 === 0).map((type) => [preset, layout, type] as const),
);

describe("weights that stay as their file has them", () => {
  test.each(taken)("give the logits of float64 on the same weights: %s, %s, %s", async (preset, layout, type) => {
    const config = small(preset);
    const file = join(dir, "packed.gguf");
    await writeSampleGguf(file, config, { seed, type, layout });
    const { model, weights } = await loadModel(file, wasm, { weights: "packed" });
    const logits = await new Session(model, weights).append(Int32Array.from(ids)).read();
    const { rms, middle } = difference(Float64Array.from(logits), await biformLogits(file));
    for (const t of weights.values()) t.free();
    // It may round its inputs to 8 bits as llama.cpp does.
    expect(isRouted(config) ? middle : rms).toBeLessThan(bound(type, config.num_hidden_layers));
  });
});
