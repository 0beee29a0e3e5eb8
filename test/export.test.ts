import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { exportModel } from "../src/convert/export.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { biform } from "../src/family/biform.ts";
import { writeFolder } from "../src/file/atomic.ts";
import { safetensorsChunks } from "../src/file/safetensors.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf, parametersOf } from "../src/model/model.ts";
import { Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/tensor.ts";
import { loadTokenizer, TOKENIZER_LIMIT } from "../src/tokenizer/tokenizer.ts";
import { byteLevel } from "./fixture/tokenizers.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-export-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A checkpoint as `biform train` leaves it, of random weights, gains and biases among them. */
async function trained(name: string, attention: string, more: object = {}): Promise<string> {
  const config = {
    architectures: ["BiformForCausalLM"],
    model_type: "biform",
    attention,
    vocab_size: 256,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    intermediate_size: 40,
    tie_word_embeddings: true,
    max_position_embeddings: 64,
    ...more,
  };
  const random = new Random(7);
  const tensors = parametersOf(biform.model(config)).map(({ name, shape }) => {
    const gain = /norm|\.g[A-Z]/.test(name) ? 1 : 0;
    return { name, shape, data: Float32Array.from(random.normals(sizeOf(shape), 0.3), (x) => x + gain) };
  });
  const path = join(dir, name);
  await writeFolder(path, [
    { name: "config.json", chunks: [JSON.stringify(config)] },
    { name: "model.safetensors", chunks: safetensorsChunks("x", tensors, { format: "pt" }) },
  ]);
  return path;
}

const device = new ReferenceDevice();
const ids = Int32Array.from(new TextEncoder().encode("a latent"));

async function logitsOf(path: string, form?: string): Promise<Float64Array> {
  const { model, weights } = await loadModel(path, device);
  const session = new Session(model, weights, { context: ids.length });
  const logits = Float64Array.from(await session.append(ids, form === undefined ? {} : { form }).read());
  session.free();
  return logits;
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("a model that was trained here", () => {
  test.each([
    ["MHA", "llama", "llama"],
    ["GQA2-128", "llama", "llama"],
    ["MQA", "llama", "llama"],
    ["GQA2-128-QKNorm", "qwen3", "qwen3"],
    ["MLA", "deepseek_v3", "deepseek2"],
    ["MLA-QLoRA", "deepseek_v3", "deepseek2"],
    ["MLA-NoPE", "kimi_linear", "kimi-linear"],
    ["[KDA-PlainGate,MLA-NoPE]", "kimi_linear", "kimi-linear"],
    // GGUF files have no such architecture.
    ["MLA-QLoRA-DSA4", "deepseek_v32", undefined],
  ])("%s is %s, the same in every form", async (spec, architecture, gguf) => {
    const path = await trained(spec, spec, { tie_word_embeddings: spec !== "MLA" });
    const expected = await logitsOf(path);
    for (const out of [join(dir, `${spec}-out`), ...(gguf ? [join(dir, `${spec}.gguf`)] : [])]) {
      expect((await exportModel(path, out)).architecture).toBe(architecture);
      const { model } = await loadModel(out, device);
      // Sums of some hundred products in another order: rounding of float64. GGUF files hold KDA's rate of decay as its
      // exponential, in float32 again: 2^-24 of it, over eight tokens and two layers.
      const bound = gguf === "kimi-linear" && spec.includes("KDA") && out.endsWith(".gguf") ? 1e-6 : 1e-10;
      for (const form of formsOf(model)) expect(farthest(expected, await logitsOf(out, form))).toBeLessThan(bound);
      const { tokenizer, context, config, close } = await load(out, { device });
      expect(tokenizer!.encode("ä b")).toEqual(Int32Array.from(new TextEncoder().encode("ä b")));
      expect(tokenizer!.decode([0xc3, 0xa4])).toBe("ä");
      expect([context, config.model_type]).toEqual([64, architecture]);
      // vLLM ties no head of models of latents, so that a folder has it beside the embedding.
      const latents = !["llama", "qwen3"].includes(architecture);
      if (!out.endsWith(".gguf")) expect(config.tie_word_embeddings).toBe(!latents);
      close();
    }
    if (gguf) {
      const file = await readFile(join(dir, `${spec}.gguf`));
      expect([file.includes("general.architecture"), file.includes(gguf)]).toEqual([true, true]);
    } else await expect(exportModel(path, join(dir, "none.gguf"))).rejects.toThrow(/expected one that GGUF files have/);
    expect(await readdir(join(dir, `${spec}-out`))).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
  });

  test.each([
    [
      "GLA2",
      /llama: layers\.0\.variant got "GLA", which would be "GQA"; qwen3: .*; deepseek_v3: layers\.0\.variant got "GLA", which would be "MLA"/,
    ],
    ["[MLA,MHA]", /deepseek_v3: layers\.1\.variant got "GQA", which would be "MLA"/],
    ["GQA2-128-PR", /llama: layers\.0\.sizes\.n got 6, which would be 0/],
    ["GQA2-128-W32", /llama: layers\.0\.window got 32, which would be nothing/],
    ["MHA-NoPE", /llama: layers\.0\.sizes\.n got 8, which would be 0/],
    [
      "MLA-NoPE-QLoRA",
      /deepseek_v3: layers\.0\.frequencies\.0 got nothing, which would be 1; .*kimi_linear: layers\.0\.sizes\.q got 24, which would be 0/,
    ],
    ["[KDA,MLA-NoPE]", /kimi_linear: layers\.0\.sizes\.with got nothing, which would be {"plainGate":true}/],
    ["MLA-DSA4", /deepseek_v32: layers\.0\.sizes\.q got 0, which would be a rank/],
    ["MLA-PlainLatent", /deepseek_v3: layers\.0\.sizes\.with got {"plainLatent":true}, which would be nothing/],
    ["MLA-OLoRA", /deepseek_v3: layers\.0\.sizes\.o got 11, which would be 0/],
  ])("%s is none of other engines', by name, and is written as Biform's own", async (spec, message) => {
    const path = await trained(spec, spec);
    const out = join(dir, "refused");
    await expect(exportModel(path, out)).rejects.toThrow(message);
    expect(await readdir(dir)).not.toContain("refused");
    const file = join(dir, "own.gguf");
    expect((await exportModel(path, file, { as: "biform" })).architecture).toBe("biform");
    expect(await logitsOf(file)).toEqual(await logitsOf(path));
  });

  test("what is stock already is none", async () => {
    await writeSampleFolder(join(dir, "own"), { ...biform.read({ ...ownOf("MHA") }) }, { seed: 1, type: "F32" });
    await exportModel(join(dir, "own"), join(dir, "stock"));
    await expect(exportModel(join(dir, "stock"), join(dir, "again"))).rejects.toThrow(
      /got "llama", expected a model in Biform's own format/,
    );
    await expect(exportModel(join(dir, "own"), join(dir, "no"), { as: "deepseek_v3" })).rejects.toThrow(
      /a model that deepseek_v3 does not compute/,
    );
  });
});

const ownOf = (attention: string) => ({
  model_type: "biform",
  attention,
  vocab_size: 300,
  hidden_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 4,
});

const sizes = "--width 16 --heads 2 --layers 1 --length 16 --batch 2 --steps 2 --threads 1".split(" ");
const run = (...args: string[]) => {
  const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [bin, ...args], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
};

test("a task's ids are no text, as many as bytes though they are: no tokenizer is made up for them", async () => {
  const made = join(dir, "task");
  run("train", "--data", "recall", "--pairs", "3", "--vocabulary", "256", "--out", made, ...sizes);
  const [stock, own, torch] = [join(dir, "task-out"), join(dir, "task.gguf"), join(dir, "task_torch")];
  run("export", made, "--out", stock);
  run("export", made, "--as", "biform", "--out", own);
  run("export", "torch", made, torch);
  expect(await readdir(stock)).toEqual(["README.md", "config.json", "model.safetensors"]);
  expect(await readFile(join(stock, "README.md"), "utf8")).toContain("Its ids are the symbols of a task");
  for (const path of [made, stock, own, torch]) {
    const { model, tokenizer, close } = await load(path, { device });
    expect([path, model.vocabulary, tokenizer]).toEqual([path, 256, undefined]);
    close();
  }
  // Stories have as many ids, and are text.
  run("train", "--data", "story", "--out", join(dir, "story"), ...sizes);
  run("export", join(dir, "story"), "--out", join(dir, "story-out"));
  expect(await readdir(join(dir, "story-out"))).toContain("tokenizer.json");
  // No id ends a text unless somebody says so: architectures have such ids of their own.
  const config = JSON.parse(await readFile(join(dir, "story-out", "config.json"), "utf8"));
  expect([config.bos_token_id, config.eos_token_id, config.pad_token_id]).toEqual([null, null, null]);
});

test("the tokenizer that a model was trained with lies beside its checkpoint, and goes along", async () => {
  const [text, tokenizer] = [join(dir, "text.txt"), join(dir, "told.json")];
  await writeFile(text, "a latent and its two forms, one after the other; ".repeat(40));
  // Larger than most: what training takes goes along.
  await writeFile(tokenizer, `${JSON.stringify(byteLevel)}${" ".repeat(65e6)}`);
  const [made, out] = [join(dir, "told"), join(dir, "told-out")];
  run("train", "--attention", "MLA", "--text", text, "--tokenizer", tokenizer, "--out", made, ...sizes);
  run("export", made, "--out", out);
  for (const folder of [made, out])
    expect(JSON.parse(await readFile(join(folder, "tokenizer.json"), "utf8"))).toEqual(byteLevel);
  // And what is too large for one is too large for the other, before it is read.
  await truncate(join(made, "tokenizer.json"), TOKENIZER_LIMIT + 1);
  const refusal = /tokenizer\.json: got 256000001 bytes, expected at most 256000000/;
  await expect(loadTokenizer(join(made, "tokenizer.json"))).rejects.toThrow(refusal);
  await expect(load(made)).rejects.toThrow(refusal);
  await expect(exportModel(made, join(dir, "never"))).rejects.toThrow(refusal);
});
