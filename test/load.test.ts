import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { loadModel } from "../src/file/load.ts";
import { parametersOf } from "../src/model/model.ts";
import { FormatError } from "../src/tensor/error.ts";
import { deepseek, llama, saveCheckpoint } from "./fixture/checkpoint.ts";
import { randomCheckpoint } from "./fixture/plain.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-load-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe("loading", () => {
  const tensors = randomCheckpoint(deepseek, 1);
  const refusal = async () => {
    const device = new ReferenceDevice();
    const error = await loadModel(dir, device).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect(device.liveBytes).toBe(0);
    return (error as Error).message;
  };

  test("names the file and the tensor that is missing", async () => {
    await saveCheckpoint(
      dir,
      deepseek,
      tensors.filter(({ name }) => name !== "model.layers.1.mlp.experts.3.up_proj.weight"),
    );
    expect(await refusal()).toContain("model.safetensors: got no tensor model.layers.1.mlp.experts.3.up_proj.weight");
  });

  test("refuses a tensor that the config has no place for", async () => {
    await saveCheckpoint(dir, deepseek, [
      ...tensors,
      { name: "model.layers.0.self_attn.q_norm.weight", shape: [2], data: new Float32Array(2) },
    ]);
    expect(await refusal()).toContain("model.layers.0.self_attn.q_norm.weight");
  });

  test("refuses a tensor whose shape is not what the config says", async () => {
    await saveCheckpoint(dir, { ...deepseek, kv_lora_rank: 11 }, tensors);
    expect(await refusal()).toMatch(/kv_a_proj_with_mqa.weight"?: got \[20,24\], expected \[19,24\]/);
  });

  test("refuses weights that are not floats", async () => {
    const whole = tensors.map((t) => (t.name === "model.norm.weight" ? { ...t, data: new Int32Array(24) } : t));
    await saveCheckpoint(dir, deepseek, whole);
    expect(await refusal()).toMatch(/model.norm.weight"?: got I32/);
  });

  test("passes over rotary buffers, and over a second head where embeddings are tied", async () => {
    const config = { ...llama, tie_word_embeddings: true };
    const own = randomCheckpoint(config, 2);
    const inv = { name: "model.layers.0.self_attn.rotary_emb.inv_freq", shape: [3], data: new Float32Array(3) };
    const head = { name: "lm_head.weight", shape: [40, 24], data: new Float32Array(960) };
    await saveCheckpoint(dir, config, [...own, inv, head]);
    const { weights } = await loadModel(dir, new ReferenceDevice());
    expect(weights.has("head")).toBe(false);
  });

  test("names config.json and the key for a config it cannot follow, and the types it knows", async () => {
    await saveCheckpoint(dir, { ...llama, hidden_act: "gelu" }, []);
    expect(await refusal()).toContain("config.json: hidden_act");
    await saveCheckpoint(dir, { model_type: "gpt2" }, []);
    expect(await refusal()).toMatch(/config.json: model_type: got .*gpt2.*llama, deepseek_v2/);
  });

  test("puts every parameter on the device in its declared shape, and nothing else", async () => {
    await saveCheckpoint(dir, deepseek, tensors);
    const device = new ReferenceDevice();
    const { model, weights } = await loadModel(dir, device);
    const list = parametersOf(model);
    expect([...weights].map(([name, t]) => [name, t.shape])).toEqual(list.map(({ name, shape }) => [name, shape]));
    for (const t of weights.values()) t.free();
    expect(device.liveBytes).toBe(0);
  });
});
