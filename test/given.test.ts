// What folders and files say otherwise than most do, each through the library or the command line as a user meets it.
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { openGguf, openSafetensors } from "../src/file/disk.ts";
import type { Value } from "../src/file/metadata.ts";
import { type GgufTensor, writeGguf } from "../src/file/writer.ts";
import { load } from "../src/generate/load.ts";
import { formsOf } from "../src/model/model.ts";
import { FormatError } from "../src/tensor/error.ts";
import { put, saveChatModel } from "./fixture/chat.ts";
import { deepseek3 as deepseek3Moe, deepseek32, llama, saveCheckpoint, youtu } from "./fixture/checkpoint.ts";
import { biform as commanded } from "./fixture/command.ts";
import { type Json, plainLogits, randomCheckpoint } from "./fixture/plain.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-given-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const biform = (...words: string[]) => commanded(scratch, words);
let made = 0;
const fresh = () => join(scratch, `model${made++}`);
const ids = [3, 17, 5, 8, 21, 21, 30];

/** Logits of a folder or file in each of its forms, and what the load had to say. */
async function logitsOf(path: string): Promise<{ forms: (readonly number[])[]; notes: string[] }> {
  const notes: string[] = [];
  const loaded = await load(path, { device: new ReferenceDevice(), warn: (line) => notes.push(line) });
  const forms: number[][] = [];
  for (const form of formsOf(loaded.model)) {
    const session = loaded.session({ context: ids.length });
    const t = session.append(ids, { form });
    forms.push(Array.from(await t.read()));
    session.free();
  }
  loaded.close();
  return { forms, notes };
}

function expectClose(a: readonly number[], b: readonly number[], within = 1e-9): void {
  expect(a.length).toBe(b.length);
  expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))).toBeLessThan(within);
}

const dense: Json = { ...deepseek3Moe, first_k_dense_replace: 9 };

describe("no rotary dims (NoPE)", () => {
  test.each<[string, Json]>([
    ["deepseek_v3", { ...dense, qk_rope_head_dim: 0 }],
    [
      "deepseek_v3 with biases, its head_dim as transformers saves it",
      { ...dense, qk_rope_head_dim: 0, head_dim: 0, attention_bias: true },
    ],
    [
      "deepseek_v3 without a query latent, under YaRN",
      {
        ...dense,
        qk_rope_head_dim: 0,
        q_lora_rank: null,
        rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32 },
      },
    ],
    ["deepseek_v3 with experts", { ...deepseek3Moe, qk_rope_head_dim: 0 }],
    ["deepseek_v32", { ...deepseek32, qk_rope_head_dim: 0 }],
    ["youtu", { ...youtu, qk_rope_head_dim: 0 }],
  ])("%s gives what the plain model gives, in both forms", async (_what, config) => {
    const dir = fresh();
    const tensors = randomCheckpoint(config, 3);
    await saveCheckpoint(dir, config, tensors);
    const { forms } = await logitsOf(dir);
    expect(forms).toHaveLength(2);
    expectClose(forms[0]!, forms[1]!);
    if (config.model_type !== "deepseek_v32") expectClose(forms[0]!, plainLogits(config, tensors, ids).flat(), 1e-5);
  });

  test.each(["absorbed", "joint"] as const)(
    "a GGUF file of rope.dimension_count 0 gives what its folder gives: %s",
    async (layout) => {
      const config = {
        ...presetConfig("deepseek3-moe", "tiny"),
        hidden_size: 64,
        intermediate_size: 96,
        vocab_size: 320,
        kv_lora_rank: 64,
        q_lora_rank: 96,
        qk_rope_head_dim: 0,
      };
      const [dir, file] = [fresh(), `${fresh()}.gguf`];
      await writeSampleFolder(dir, config, { seed: 5, type: "F32", layout });
      await writeSampleGguf(file, config, { seed: 5, type: "F32", layout });
      expect((await openGguf(file)).metadata.get("deepseek2.rope.dimension_count")!.value).toBe(0);
      const [a, b] = [await logitsOf(dir), await logitsOf(file)];
      for (const [i, logits] of a.forms.entries()) expectClose(logits, b.forms[i]!, 1e-5);
      expectClose(a.forms[0]!, a.forms[1]!);
    },
  );
});

describe("a head beside tied embeddings", () => {
  const tied = { ...llama, tie_word_embeddings: true };
  const own = randomCheckpoint(tied, 2);
  const embed = own.find(({ name }) => name === "model.embed_tokens.weight")!;
  const head = randomCheckpoint(llama, 9).find(({ name }) => name === "lm_head.weight")!;

  test("is used where it differs, and the load says so", async () => {
    const [dir, untied] = [fresh(), fresh()];
    await saveCheckpoint(dir, tied, [...own, head]);
    await saveCheckpoint(untied, { ...llama, tie_word_embeddings: false }, [...own, head]);
    const [a, b] = [await logitsOf(dir), await logitsOf(untied)];
    expect(a.forms).toEqual(b.forms);
    expect(b.notes).toEqual([]);
    expect(a.notes).toHaveLength(1);
    expect(a.notes[0]).toMatch(
      /lm_head\.weight is not model\.embed_tokens\.weight, though tie_word_embeddings is true/,
    );
    const { status, stderr } = await biform("run", dir, "--tokens", "1,2", "--max-tokens", "1", "--threads", "1");
    expect([status, stderr]).toEqual([0, expect.stringContaining("note: ")]);
    expect(stderr).toContain(a.notes[0]!);
  });

  test("that differs in its last number alone is found, in one type or two", async () => {
    const last = Float32Array.from(embed.data);
    last[last.length - 1]! += 1;
    for (const dtype of ["F32", "F64"] as const) {
      const dir = fresh();
      await saveCheckpoint(dir, tied, [...own, { ...embed, name: "lm_head.weight", dtype, data: last }]);
      expect((await logitsOf(dir)).notes).toHaveLength(1);
    }
  });

  test("changes nothing where it is the embedding once more, in one type or two", async () => {
    const plain = fresh();
    await saveCheckpoint(plain, tied, own);
    for (const dtype of ["F32", "F64"] as const) {
      const dir = fresh();
      await saveCheckpoint(dir, tied, [...own, { ...embed, name: "lm_head.weight", dtype }]);
      expect(await logitsOf(dir)).toEqual(await logitsOf(plain));
    }
  });

  test("of another shape is refused by its name", async () => {
    const dir = fresh();
    await saveCheckpoint(dir, tied, [...own, { ...head, shape: [20, 48] }]);
    await expect(logitsOf(dir)).rejects.toThrow(/lm_head\.weight: got \[20,48\], expected \[40,24\]/);
  });

  test.each<[string, unknown, RegExp]>([
    ["false", false, /tie_word_embeddings is false/],
    ["null, which is no", null, /tie_word_embeddings is null/],
    ["left out", undefined, /tie_word_embeddings is not set/],
  ])("a missing head's message names the key: %s", async (_what, value, says) => {
    const dir = fresh();
    await saveCheckpoint(dir, { ...llama, tie_word_embeddings: value }, own);
    await expect(logitsOf(dir)).rejects.toThrow(/got no tensor lm_head\.weight/);
    await expect(logitsOf(dir)).rejects.toThrow(says);
    await saveCheckpoint(dir, { ...llama, tie_word_embeddings: value }, [...own, head]);
    expect((await logitsOf(dir)).notes).toEqual([]);
  });

  test("the families whose embeddings are tied unless a config says no take null for no", async () => {
    const dir = fresh();
    const tensors = randomCheckpoint({ ...youtu, tie_word_embeddings: true }, 2);
    await saveCheckpoint(dir, youtu, tensors);
    await logitsOf(dir);
    await saveCheckpoint(dir, { ...youtu, tie_word_embeddings: null }, tensors);
    await expect(logitsOf(dir)).rejects.toThrow(/lm_head\.weight.*tie_word_embeddings is null/);
  });
});

/** Cuts a GGUF file into parts as llama.cpp does: all metadata in the first, tensors in turn. */
async function cut(file: string, to: string, count: number): Promise<string[]> {
  const { metadata, tensors } = await openGguf(file);
  const names = Array.from(
    { length: count },
    (_, i) => `${to}-${String(i + 1).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`,
  );
  for (const [no, name] of names.entries()) {
    const split: [string, Value][] = [
      ["split.no", { type: "u16", value: no }],
      ["split.count", { type: "u16", value: count }],
      ["split.tensors.count", { type: "i32", value: tensors.names.length }],
    ];
    const own = tensors.names.filter((_, i) => Math.floor((i * count) / tensors.names.length) === no);
    const list = own.map((tensor): GgufTensor => {
      const { dtype, shape, begin, end } = tensors.entry(tensor);
      const bytes = async () => {
        const into = new Uint8Array(end - begin);
        await tensors.readBytes(tensor, 0, into);
        return { bytes: into };
      };
      return { name: tensor, dtype: dtype as GgufTensor["dtype"], shape, data: bytes };
    });
    await writeGguf(name, new Map<string, Value>([...(no ? [] : metadata), ...split]), list);
  }
  return names;
}

describe("a GGUF model in several parts", () => {
  const text = async (path: string) => {
    const { status, stdout, stderr } = await biform(
      "run",
      path,
      "--prompt",
      "once upon",
      "--temperature",
      "0",
      "--max-tokens",
      "8",
      "--threads",
      "1",
    );
    expect([status, stderr.includes("rror")]).toEqual([0, false]);
    return stdout;
  };

  test("runs, plans and loads as the whole does", async () => {
    const whole = `${fresh()}.gguf`;
    const made = await biform("make-model", "--preset", "deepseek3-moe", "--size", "tiny", "--type", "Q8_0", whole);
    expect(made.status).toBe(0);
    const [first, second, third] = (await cut(whole, fresh(), 3)) as [string, string, string];
    expect(await text(first)).toBe(await text(whole));
    expect((await logitsOf(first)).forms).toEqual((await logitsOf(whole)).forms);
    const planned = async (path: string) =>
      JSON.parse((await biform("plan", path, "--json", "--weights", "file")).stdout);
    const [a, b] = [await planned(first), await planned(whole)];
    expect({ ...a, name: "", model: "" }).toEqual({ ...b, name: "", model: "" });
    for (const other of [second, third]) {
      const { status, stderr } = await biform("run", other, "--prompt", "x");
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(/expected the first, named .*-00001-of-00003\.gguf; open that one/),
      ]);
    }
    rmSync(third);
    const { status, stderr } = await biform("run", first, "--prompt", "x");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/-00003-of-00003\.gguf: got no such file/)]);
  });
});

/** A folder of raw tensors: each of its type, shape and bytes. */
async function rawFolder(
  config: Json,
  tensors: readonly { name: string; dtype: string; shape: number[]; bytes: Uint8Array }[],
) {
  const dir = fresh();
  await saveCheckpoint(dir, config, []);
  let at = 0;
  const members = tensors.map(({ name, dtype, shape, bytes }) => {
    const begin = at;
    at += bytes.length;
    return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${at}]}`;
  });
  const header = Buffer.from(`{${members.join()}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await put(dir, "model.safetensors", Buffer.concat([length, header, ...tensors.map(({ bytes }) => bytes)]));
  return dir;
}

describe("types of the safetensors format whose numbers are not read", () => {
  const bits = { F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, C64: 64 };
  const float = { name: "x", dtype: "F32", shape: [1], bytes: new Uint8Array(Float32Array.of(2.5).buffer) };

  test.each(Object.entries(bits))(
    "%s has its size, is named where it is wanted, and leaves the others readable",
    async (dtype, n) => {
      const dir = await rawFolder(llama, [{ name: "odd", dtype, shape: [2, 4], bytes: new Uint8Array(n) }, float]);
      const reader = await openSafetensors(join(dir, "model.safetensors"));
      expect(reader.entry("odd")).toMatchObject({ dtype, elements: 8, shape: [2, 4] });
      expect(reader.entry("odd").end - reader.entry("odd").begin).toBe(n);
      expect([...(await reader.read("x"))]).toEqual([2.5]);
      const into = new Uint8Array(n);
      await reader.readBytes("odd", 0, into);
      await expect(reader.read("odd")).rejects.toThrow(
        new RegExp(`odd: got ${dtype}, expected a type that is read .*F8_E4M3`),
      );
      await expect(reader.read("odd")).rejects.toThrow(FormatError);
    },
  );

  test("of sizes that are no whole bytes, and of bytes that are too few, are refused", async () => {
    const dir = await rawFolder(llama, [{ name: "odd", dtype: "F4", shape: [3], bytes: new Uint8Array(2) }]);
    await expect(openSafetensors(join(dir, "model.safetensors"))).rejects.toThrow(/whole bytes for F4 \[3\] in odd/);
    const few = await rawFolder(llama, [{ name: "odd", dtype: "F6_E2M3", shape: [8], bytes: new Uint8Array(5) }]);
    await expect(openSafetensors(join(few, "model.safetensors"))).rejects.toThrow(/6 bytes for F6_E2M3 \[8\] in odd/);
  });

  test("a model that is not supported is named before the type, a type within a model that is by the tensor's name", async () => {
    const scales = { name: "model.embed_tokens.weight", dtype: "F8_E8M0", shape: [40, 24], bytes: new Uint8Array(960) };
    const unknown = await rawFolder({ model_type: "deepseek_v4" }, [scales]);
    await expect(logitsOf(unknown)).rejects.toThrow(/model_type: got "deepseek_v4"/);
    const own = randomCheckpoint(llama, 2).filter(({ name }) => name !== scales.name);
    const rest = own.map(({ name, shape, data }) => ({
      name,
      shape: [...shape],
      dtype: "F32",
      bytes: new Uint8Array(Float32Array.from(data).buffer),
    }));
    await expect(logitsOf(await rawFolder(llama, [scales, ...rest]))).rejects.toThrow(
      /embed_tokens\.weight: got F8_E8M0, expected F64, F32/,
    );
  });
});

/** A chat model with these files beside it, loaded, and what the load had to say. */
async function chatModel(files: Readonly<Record<string, unknown>>, changes: Json = {}) {
  const dir = fresh();
  await saveChatModel(dir, changes);
  for (const [name, content] of Object.entries(files)) await put(dir, name, content);
  const notes: string[] = [];
  const loaded = await load(dir, { device: new ReferenceDevice(), warn: (line) => notes.push(line) });
  return { dir, loaded, notes };
}

describe("settings of generation_config.json that nobody can follow", () => {
  test.each<[string, string, unknown, string]>([
    ["top_k of -1, as vLLM writes it for none", "top_k", -1, "-1"],
    ["top_k of a fraction", "top_k", 1.5, "1.5"],
    ["top_p of 0", "top_p", 0, "0"],
    ["top_p above 1", "top_p", 7, "7"],
    ["a temperature below 0", "temperature", -1, "-1"],
    ["a temperature that is text", "temperature", "0.7", '"0.7"'],
    ["min_p in a list", "min_p", [0.1], "[0.1]"],
    ["a repetition_penalty of 0", "repetition_penalty", 0, "0"],
    ["do_sample that is text", "do_sample", "no", '"no"'],
    ["an end that is text", "eos_token_id", "</s>", '"</s>"'],
    ["an end of -1", "eos_token_id", -1, "-1"],
  ])("are left out, and a note says so: %s", async (_what, key, value, shown) => {
    const { dir, loaded, notes } = await chatModel({ "generation_config.json": { min_p: 0.25, [key]: value } });
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(`${dir}/generation_config.json: ${key}: got ${shown}, expected `);
    expect(loaded.sampling).toEqual(key === "min_p" ? {} : { minP: 0.25 });
    loaded.close();
  });

  test.each(["Infinity", "-Infinity", "NaN"])(
    "bare %s in them is none that they can follow; in what is not read it is nothing",
    async (word) => {
      const text = `{"temperature": ${word}, "top_k": 5, "guidance_scale": ${word}}`;
      const { loaded, notes } = await chatModel({ "generation_config.json": text });
      expect(notes).toEqual([expect.stringContaining(`temperature: got ${word}, expected 0 or more`)]);
      expect(loaded.sampling).toEqual({ topK: 5 });
      loaded.close();
    },
  );

  test("stop no run, which says so; what is given on the command line goes before them", async () => {
    const { dir, loaded } = await chatModel({ "generation_config.json": { top_k: -1, top_p: 0 } });
    loaded.close();
    const found = await biform("run", dir, "--prompt", "the", "--max-tokens", "2", "--threads", "1", "--json");
    expect(found.status).toBe(0);
    expect(found.stderr).toMatch(/note: .*top_k: got -1[\s\S]*note: .*top_p: got 0/);
    expect(JSON.parse(found.stdout).sampling).toEqual({ temperature: 0.8, topP: 0.95, seed: 1 });
    const bad = await biform("run", dir, "--prompt", "the", "--top-k", "-1", "--threads", "1");
    expect([bad.status, bad.stderr]).toEqual([1, expect.stringMatching(/topK: got -1, expected a whole number/)]);
  });

  test("an end of config.json that is none is noted too", async () => {
    const { loaded, notes } = await chatModel({}, { eos_token_id: [3, "x"] });
    expect(notes).toEqual([expect.stringMatching(/eos_token_id: got \[3,"x"\], expected a token id/)]);
    loaded.close();
  });

  test("a file that is no object is damaged as a whole", async () => {
    await expect(chatModel({ "generation_config.json": "[]" })).rejects.toThrow(/generation_config\.json: /);
  });
});

describe("chat templates that cannot be used", () => {
  const config = (chat_template: unknown) => ({ "tokenizer_config.json": { eos_token: "<end>", chat_template } });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "a list without a default",
      config([{ name: "tool_use", template: "x" }]),
      /chat_template: got templates named tool_use, expected text, or a list with one named default/,
    ],
    ["a number", config(7), /chat_template: got number/],
    ["one that is too long", config("x".repeat(1_000_001)), /chat template: got 1000001 characters/],
    [
      "a file that is too long",
      { "chat_template.jinja": "x".repeat(1_000_001) },
      /chat_template\.jinja: chat template: got 1000001/,
    ],
  ])("stop no load and refuse by their name once asked for: %s", async (_what, files, says) => {
    const { dir, loaded } = await chatModel(files);
    const session = loaded.session();
    session.append("the").free();
    await expect(loaded.template!.render([{ role: "user", content: "hi" }])).rejects.toThrow(says);
    await expect(loaded.template!.render([{ role: "user", content: "hi" }])).rejects.toThrow(FormatError);
    loaded.close();
    if (!_what.startsWith("a list")) return;
    expect((await biform("run", dir, "--prompt", "the", "--max-tokens", "1", "--threads", "1")).status).toBe(0);
    const chat = await commanded(scratch, ["chat", dir, "--threads", "1"], "hello\n");
    expect([chat.status, chat.stderr]).toEqual([1, expect.stringMatching(says)]);
  });
});

test("a begin token that was typed and is added too stands twice, and run says so", async () => {
  const dir = fresh();
  await saveChatModel(dir);
  const settings = { bos_token: "<end>", eos_token: "<end>", tokenizer_class: "LlamaTokenizerFast" };
  const run = (prompt: string) =>
    biform("run", dir, "--prompt", prompt, "--max-tokens", "1", "--threads", "1", "--json");
  const counted = async (prompt: string) => JSON.parse((await run(prompt)).stdout).promptTokens;
  await put(dir, "tokenizer_config.json", { ...settings, add_bos_token: true });
  const twice = await run("<end>the");
  expect(twice.stderr).toMatch(
    /note: the prompt begins with "<end>", which the tokenizer adds itself: it stands twice/,
  );
  expect((await run("the")).stderr).toBe("");
  expect(JSON.parse(twice.stdout).promptTokens).toBe((await counted("the")) + 1);
  await put(dir, "tokenizer_config.json", { ...settings, add_bos_token: false });
  expect((await run("<end>the")).stderr).toBe("");
  expect(await counted("<end>the")).toBe(JSON.parse(twice.stdout).promptTokens - 1);
});

test("a config.json as Python writes it loads where the key is not read, and is refused by the key's name where it is", async () => {
  const dir = fresh();
  const tensors = randomCheckpoint(llama, 2);
  await saveCheckpoint(dir, llama, tensors);
  const plain = await logitsOf(dir);
  for (const word of ["Infinity", "-Infinity", "NaN"]) {
    await put(
      dir,
      "config.json",
      JSON.stringify({ ...llama, x: 0 }).replace('"x":0', `"initializer_range":${word},"_x":[${word}]`),
    );
    expect(await logitsOf(dir)).toEqual(plain);
    for (const key of ["rms_norm_eps", "hidden_size", "rope_theta", "head_dim"]) {
      await put(dir, "config.json", JSON.stringify({ ...llama, [key]: "#" }).replace('"#"', word));
      await expect(logitsOf(dir)).rejects.toThrow(new RegExp(`config\\.json: ${key}: got ${word}, expected`));
    }
    await put(dir, "config.json", JSON.stringify({ ...llama, time_step_limit: "#" }).replace('"#"', word));
    await expect(logitsOf(dir)).rejects.toThrow(/time_step_limit: got a key that is not known/);
    await put(
      dir,
      "config.json",
      JSON.stringify({ ...llama, rope_scaling: { rope_type: "linear", factor: "#" } }).replace('"#"', word),
    );
    await expect(logitsOf(dir)).rejects.toThrow(new RegExp(`rope_scaling\\.factor: got ${word}`));
  }
});

test("an index as Python writes it is read", async () => {
  const dir = fresh();
  const tensors = randomCheckpoint(llama, 2);
  await saveCheckpoint(dir, llama, tensors);
  const plain = await logitsOf(dir);
  renameSync(join(dir, "model.safetensors"), join(dir, "one.safetensors"));
  const map = Object.fromEntries(tensors.map(({ name }) => [name, "one.safetensors"]));
  await put(dir, "model.safetensors.index.json", `{"metadata":{"total_size":NaN},"weight_map":${JSON.stringify(map)}}`);
  expect(await logitsOf(dir)).toEqual(plain);
  await put(dir, "model.safetensors.index.json", '{"weight_map":{"lm_head.weight":Infinity}}');
  await expect(logitsOf(dir)).rejects.toThrow(/index\.json: weight_map\.lm_head\.weight: .*string/);
});
