import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { Session } from "../src/generate/session.ts";
import { parametersOf } from "../src/model/model.ts";
import { FormatError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { deepseek, deepseek3, llama, saveCheckpoint } from "./fixture/checkpoint.ts";
import { type Json, plainLogits, randomCheckpoint, type Stored } from "./fixture/plain.ts";

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
    const head = { ...own.find(({ name }) => name === "model.embed_tokens.weight")!, name: "lm_head.weight" };
    await saveCheckpoint(dir, config, [...own, inv, head]);
    const { weights } = await loadModel(dir, new ReferenceDevice());
    expect(weights.has("head")).toBe(false);
  });

  test("passes over the layers that predict further tokens, as many as the config says and no more", async () => {
    const own = randomCheckpoint(deepseek3, 2);
    const further = { name: "model.layers.3.eh_proj.weight", shape: [2], data: new Float32Array(2) };
    await saveCheckpoint(dir, { ...deepseek3, num_nextn_predict_layers: 1 }, [...own, further]);
    await loadModel(dir, new ReferenceDevice());
    await saveCheckpoint(dir, deepseek3, [...own, further]);
    expect(await refusal()).toContain("eh_proj");
  });

  test("names config.json and the key for a config it cannot follow, and the types it knows", async () => {
    await saveCheckpoint(dir, { ...llama, hidden_act: "gelu" }, []);
    expect(await refusal()).toContain("config.json: hidden_act");
    await saveCheckpoint(dir, { model_type: "gpt2" }, []);
    expect(await refusal()).toMatch(/config.json: model_type: got .*gpt2.*llama, qwen3, deepseek_v2/);
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

describe("FP8 weights with a scale per block", () => {
  const config: Json = {
    ...deepseek3,
    quantization_config: {
      quant_method: "fp8",
      fmt: "e4m3",
      activation_scheme: "dynamic",
      weight_block_size: [8, 16],
    },
  };

  /** The number that a byte stands for: sign, 4 bits of exponent, 3 of fraction. */
  const numberOf = (byte: number) => {
    const [exponent, fraction] = [(byte >> 3) & 15, byte & 7];
    const size = exponent === 0 ? fraction / 512 : (1 + fraction / 8) * 2 ** (exponent - 7);
    return byte & 128 ? -size : size;
  };

  /** The tensors as a file holds them, and the numbers they stand for. */
  function eighths(tensors: readonly Stored[]) {
    const random = new Random(3);
    const files: { name: string; shape: number[]; dtype: string; bytes: Uint8Array }[] = [];
    const stand: Stored[] = [];
    for (const t of tensors) {
      const [out = 1, inputs = 1] = t.shape;
      if (!/_proj/.test(t.name)) {
        files.push({ name: t.name, shape: t.shape, dtype: "F32", bytes: new Uint8Array(t.data.buffer) });
        stand.push(t);
        continue;
      }
      const blocks = [Math.ceil(out / 8), Math.ceil(inputs / 16)] as const;
      const scales = Float32Array.from({ length: blocks[0] * blocks[1] }, () => 0.05 + 0.1 * random.uniform());
      const bytes = Uint8Array.from({ length: out * inputs }, () => random.integer(72) + 128 * random.integer(2));
      const data = Float32Array.from(bytes, (byte, at) => {
        const [row, column] = [Math.floor(at / inputs), at % inputs];
        return numberOf(byte) * scales[Math.floor(row / 8) * blocks[1] + Math.floor(column / 16)]!;
      });
      files.push({ name: t.name, shape: t.shape, dtype: "F8_E4M3", bytes });
      const name = `${t.name}_scale_inv`;
      files.push({ name, shape: [...blocks], dtype: "F32", bytes: new Uint8Array(scales.buffer) });
      stand.push({ ...t, data });
    }
    return { files, stand };
  }

  async function save(files: ReturnType<typeof eighths>["files"]) {
    let offset = 0;
    const header = Object.fromEntries(
      files.map(({ name, shape, dtype, bytes }) => {
        const data_offsets = [offset, offset + bytes.length];
        offset += bytes.length;
        return [name, { dtype, shape, data_offsets }];
      }),
    );
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    await writeFile(join(dir, "config.json"), JSON.stringify(config));
    await writeFile(join(dir, "model.safetensors"), Buffer.concat([length, text, ...files.map(({ bytes }) => bytes)]));
  }

  test("are multiplied out, edge blocks too", async () => {
    const { files, stand } = eighths(randomCheckpoint(config, 5));
    await save(files);
    const { model, weights } = await loadModel(dir, new ReferenceDevice());
    const ids = [3, 17, 8, 39, 0];
    const session = new Session(model, weights, { context: ids.length });
    const got = await session.append(Int32Array.from(ids)).read();
    const expected = plainLogits(config, stand, ids).flat();
    const worst = Math.max(...expected.map((x, i) => Math.abs(x - got[i]!)));
    // The products are rounded to float32, where the loader multiplies them and here.
    expect(worst).toBeLessThan(1e-6);
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.5);
  });

  test("need scales of the right shape beside them, and a config that says how they lie", async () => {
    const { files } = eighths(randomCheckpoint(config, 5));
    const name = "model.layers.2.self_attn.o_proj.weight_scale_inv";
    const refusal = async () => {
      const error = await loadModel(dir, new ReferenceDevice()).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(FormatError);
      return (error as Error).message;
    };
    await save(files.filter((file) => file.name !== name));
    expect(await refusal()).toContain(`got no tensor ${name}`);
    await save(files.map((file) => (file.name === name ? { ...file, shape: [1, 3] } : file)));
    expect(await refusal()).toMatch(/o_proj.weight_scale_inv"?: got F32 \[1,3\], expected F32 \[3,1\]/);
    await save(files);
    await writeFile(join(dir, "config.json"), JSON.stringify(deepseek3));
    expect(await refusal()).toMatch(/got F8_E4M3, expected/);
  });
});
