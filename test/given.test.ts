// What folders and files say otherwise than most do, each through the library or the command line as a user meets it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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
import { put } from "./fixture/chat.ts";
import { deepseek3 as deepseek3Moe, deepseek32, llama, saveCheckpoint, youtu } from "./fixture/checkpoint.ts";
import { type Json, plainLogits, randomCheckpoint } from "./fixture/plain.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-given-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const biform = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: scratch, encoding: "utf8" });
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
    const { status, stderr } = biform("run", dir, "--tokens", "1,2", "--max-tokens", "1", "--threads", "1");
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
  const text = (path: string) => {
    const { status, stdout, stderr } = biform(
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
    expect(biform("make-model", "--preset", "deepseek3-moe", "--size", "tiny", "--type", "Q8_0", whole).status).toBe(0);
    const [first, second, third] = (await cut(whole, fresh(), 3)) as [string, string, string];
    expect(text(first)).toBe(text(whole));
    expect((await logitsOf(first)).forms).toEqual((await logitsOf(whole)).forms);
    const planned = (path: string) => JSON.parse(biform("plan", path, "--json", "--weights", "file").stdout);
    const [a, b] = [planned(first), planned(whole)];
    expect({ ...a, name: "", model: "" }).toEqual({ ...b, name: "", model: "" });
    for (const other of [second, third]) {
      const { status, stderr } = biform("run", other, "--prompt", "x");
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(/expected the first, named .*-00001-of-00003\.gguf; open that one/),
      ]);
    }
    rmSync(third);
    const { status, stderr } = biform("run", first, "--prompt", "x");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/-00003-of-00003\.gguf: got no such file/)]);
  }, 60_000);
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
