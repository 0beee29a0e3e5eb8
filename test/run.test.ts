import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { type Sample, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { openSafetensors } from "../src/file/disk.ts";
import { load } from "../src/generate/load.ts";
import { FormatError } from "../src/tensor/error.ts";
import { put, saveChatModel } from "./fixture/chat.ts";
import { llama, saveCheckpoint } from "./fixture/checkpoint.ts";
import { biform } from "./fixture/command.ts";
import { plainLogits, randomCheckpoint, type Stored } from "./fixture/plain.ts";

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "biform-run-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const run = (...words: string[]) =>
  // Other devices have no threads.
  biform(scratch, ["run", ...words, ...(words.includes("--device") ? [] : ["--threads", "1"])]);
/** In a process of its own. */
const spawned = (input: string, ...words: string[]) =>
  spawnSync(process.execPath, [bin, "run", ...words, "--threads", "1"], { cwd: scratch, encoding: "utf8", input });

let model: Awaited<ReturnType<typeof saveChatModel>>;
beforeAll(async () => {
  model = await saveChatModel(join(scratch, "model"));
  await saveCheckpoint(join(scratch, "bare"), llama, randomCheckpoint(llama, 2));
  // A tokenizer of 262 ids over an embedding of 40.
  await saveCheckpoint(join(scratch, "small"), llama, randomCheckpoint(llama, 2));
  for (const name of ["tokenizer.json"])
    await put(join(scratch, "small"), name, readFileSync(join(scratch, "model", name), "utf8"));
  await saveChatModel(join(scratch, "broken"));
  await put(join(scratch, "broken"), "tokenizer.json", '{"model":');
  await put(scratch, "notes.session", "no session at all");
  mkdirSync(join(scratch, "empty"));
  await saveCheckpoint(join(scratch, "other"), { model_type: "gpt2" }, []);
});

const statistics = {
  promptTokens: z.int(),
  tokens: z.int(),
  finish: z.enum(["end", "stop", "length", "context", "interrupted"]),
  /** Tokens times layers. */
  forms: z.strictObject({
    prefill: z.record(z.string(), z.int().positive()),
    decode: z.record(z.string(), z.int().positive()),
  }),
  seconds: z.strictObject({
    load: z.number().positive(),
    prefill: z.number().positive(),
    firstToken: z.number().positive(),
    decode: z.number().nonnegative(),
  }),
  tokensPerSecond: z.strictObject({ prefill: z.number().positive(), decode: z.number().positive().nullable() }),
  bytes: z.strictObject({ cache: z.int().positive(), weights: z.int().positive(), peak: z.int().positive() }),
};
/** What `--json` prints: a key more or less is a change that its readers have to know of. */
const resultSchema = z.strictObject({
  model: z.string(),
  type: z.string(),
  device: z.enum(["wasm", "reference"]),
  threads: z.int(),
  cache: z.string(),
  versions: z.strictObject({ biform: z.string(), node: z.string(), v8: z.string() }),
  text: z.string(),
  ids: z.array(z.int()),
  ...statistics,
  sampling: z.record(z.string(), z.number()),
});

describe("biform run", () => {
  const greedy = ["--temperature", "0", "--max-tokens", "24"];

  test("writes text alone to standard output: what the library writes, in every form", async () => {
    const loaded = await load(join(scratch, "model"), { threads: 1 });
    let text = "";
    const ids: number[] = [];
    for await (const step of loaded.session().generate("the end", { temperature: 0, maxTokens: 24 })) {
      text += step.text;
      ids.push(step.id);
    }
    loaded.close();
    const { status, stdout, stderr } = await run("model", "--prompt", "the end", ...greedy);
    expect([status, stdout]).toEqual([0, text]);
    expect(stderr).toMatch(/loaded .* parameters[\s\S]*prompt: 5 tokens[\s\S]*answer: 24 tokens[\s\S]*form: \w+/);
    const absorbed = await run("model", "--prompt", "the end", ...greedy, "--form", "absorbed", "--chunk", "2");
    expect([absorbed.status, absorbed.stdout]).toEqual([0, text]);
    expect(absorbed.stderr).toMatch(/form: absorbed/);
    const asIds = await run("model", "--tokens", "257,32,101,110,100", ...greedy);
    expect(asIds.stdout).toBe(`${ids.join(",")}\n`);
  });

  test("prints one JSON object that its schema accepts, and with --stream a line per token before it", async () => {
    const plain = await run("model", "--prompt", "the", ...greedy, "--json");
    const result = resultSchema.parse(JSON.parse(plain.stdout));
    expect(plain.stderr).toBe("");
    expect(result).toMatchObject({ finish: "length", tokens: 24, sampling: { temperature: 0 } });
    const total = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
    // Three layers; the first token comes of the prompt, and the last one is not run.
    expect(total(result.forms.prefill) + total(result.forms.decode)).toBe(3 * (result.promptTokens + 23));
    const { stdout } = await run("model", "--prompt", "the", ...greedy, "--json", "--stream");
    const lines = stdout.trimEnd().split("\n");
    const steps = lines.slice(0, -1).map((line) => JSON.parse(line));
    expect(steps.map(({ id }) => id)).toEqual(result.ids);
    expect(steps.map(({ text }) => text).join("")).toBe(result.text);
    expect(resultSchema.parse(JSON.parse(lines.at(-1)!)).text).toBe(result.text);
  });

  test("reads its prompt from standard input or a file, without the last line break", async () => {
    const expected = (await run("model", "--prompt", "the end", ...greedy)).stdout;
    await put(scratch, "prompt.txt", "the end\n");
    expect((await run("model", "--prompt-file", "prompt.txt", ...greedy)).stdout).toBe(expected);
    for (const { stdout } of [
      spawned("the end\n", "model", "--prompt", "-", ...greedy),
      await biform(scratch, ["run", "model", "--prompt", "-", "--threads", "1", ...greedy], "the end\n"),
    ])
      expect(stdout).toBe(expected);
  });

  test("the same seed writes the same text, another seed another", async () => {
    const drawn = async (seed: string) =>
      (await run("model", "--prompt", "the", "--max-tokens", "12", "--seed", seed)).stdout;
    const text = await drawn("3");
    expect(await drawn("3")).toBe(text);
    expect(await drawn("4")).not.toBe(text);
  });

  test("a stop string ends the text across token borders and is not printed, not even in part", async () => {
    const { text } = JSON.parse((await run("model", "--prompt", "the", ...greedy, "--json")).stdout);
    const whole: string[] = [...text];
    // Two characters from the middle: byte-level tokens of random weights hardly ever hold two.
    const stop = whole.slice(9, 11).join("");
    const { stdout, stderr } = await run("model", "--prompt", "the", ...greedy, "--stop", "never", "--stop", stop);
    expect(stdout).toBe(text.slice(0, text.indexOf(stop)));
    expect(stderr).toMatch(/ended at a stop string/);
  });

  test("an end token ends the text, also when generation_config.json names several", async () => {
    const first = JSON.parse((await run("model", "--tokens", "1,2,3", ...greedy, "--json")).stdout).ids;
    const ending = join(scratch, "ending");
    await saveChatModel(ending);
    await put(ending, "generation_config.json", { eos_token_id: [0, first[4]], temperature: 0.5, do_sample: false });
    const found = JSON.parse((await run("ending", "--tokens", "1,2,3", "--max-tokens", "24", "--json")).stdout);
    expect(found.ids).toEqual(first.slice(0, first.indexOf(first[4]) + 1));
    expect(found).toMatchObject({ finish: "end", sampling: { temperature: 0 } });
  });

  test("a full context ends the text and says so", async () => {
    const found = await run("model", "--tokens", "1,2,3", "--context", "8", "--temperature", "0");
    // The eighth token has been run; the one it leads to has no room.
    expect(found.stdout.trim().split(",")).toHaveLength(6);
    expect(found.stderr).toMatch(/ended because the context is full/);
  });

  test("--logits writes what plain loops compute, [tokens, vocabulary] in float32, in every form and chunking", async () => {
    const ids = [1, 2, 3, 250, 77, 3, 3];
    const expected = plainLogits(model.config, model.tensors as Stored[], ids).flat();
    for (const more of [[], ["--form", "absorbed", "--chunk", "1"], ["--chunk", "3", "--device", "reference"]]) {
      const { status, stdout } = await run(
        "model",
        "--tokens",
        ids.join(","),
        "--logits",
        "logits.safetensors",
        ...more,
      );
      expect([status, stdout]).toEqual([0, ""]);
      const reader = await openSafetensors(join(scratch, "logits.safetensors"));
      expect(reader.names).toEqual(["logits"]);
      expect(reader.entry("logits")).toMatchObject({ dtype: "F32", shape: [7, 264] });
      const got = Array.from(await reader.read("logits"), Number);
      expect(Math.max(...got.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(2e-5);
    }
  });

  test("Ctrl-C ends the text, prints the figures and exits with 130", async () => {
    const long = ["--prompt", "the", "--max-tokens", "1000000", "--context", "1000000", "--threads", "1"];
    const child = spawn(process.execPath, [bin, "run", "model", ...long], { cwd: scratch });
    let stderr = "";
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    child.stdout.once("data", () => child.kill("SIGINT"));
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
    expect(stderr).toMatch(/answer: \d+ tokens .* interrupted/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("biform run says in a line what is wrong with", () => {
  const prompt = ["--prompt", "the"];
  test.each([
    ["no model", ["nowhere", ...prompt], /nowhere: got no such folder/],
    ["no tokenizer", ["bare", ...prompt], /bare: got no tokenizer, expected one for text; .* --tokens/],
    ["an id out of range", ["bare", "--tokens", "1,40"], /got the id 40 at 1, expected a whole number in \[0, 40\)/],
    ["ids that are none", ["bare", "--tokens", "1,-2"], /--tokens: got "1,-2"/],
    ["no prompt", ["model"], /got no prompt, expected one of --prompt/],
    ["two prompts", ["model", ...prompt, "--tokens", "1"], /got several prompts/],
    [
      "a small context",
      ["bare", "--tokens", "1,2,3,4", "--context", "3"],
      /got 4 tokens, expected at most the context of 3/,
    ],
    ["an unknown form", ["model", ...prompt, "--form", "up"], /--form: got "up", expected expanded or absorbed/],
    ["a top-p", ["model", ...prompt, "--top-p", "high"], /--top-p.*expected a number/],
    ["a kept session of another kind", ["bare", "--resume", "notes.session"], /notes\.session: /],
  ])("%s", async (_, args, message) => {
    const { status, stdout, stderr } = await run(...args);
    expect(stderr).toMatch(message);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("a place that cannot be written, and leaves nothing behind", async () => {
    const { status, stderr } = await run("bare", "--tokens", "1", "--logits", "nowhere/logits.safetensors");
    expect(status).toBe(1);
    expect(stderr).toMatch(/nowhere\/logits\.safetensors/);
    expect(existsSync(join(scratch, "nowhere"))).toBe(false);
    expect(readdirSync(scratch).filter((name) => name.includes("tmp"))).toEqual([]);
  });
});

describe("loading says what is wrong with", () => {
  test.each([
    ["a folder without a model", "empty", /empty\/config\.json: got no such file/],
    ["an unsupported architecture", "other", /model_type: got .*gpt2.*expected one of/],
    ["a broken tokenizer", "broken", /broken\/tokenizer\.json: got no valid JSON/],
    ["a vocabulary too large", "small", /small: got a tokenizer of 262 tokens and an embedding of 40, expected/],
  ])("%s", async (_, name, message) => {
    await expect(load(join(scratch, name))).rejects.toThrow(FormatError);
    await expect(load(join(scratch, name))).rejects.toThrow(message);
  });
});

describe("a GGUF file", () => {
  const config = presetConfig("deepseek2", "tiny");
  const sample: Sample = { seed: 1, type: "Q8_0", layout: "absorbed" };

  test("runs with its own tokenizer, kept sessions included, whichever type its cache has", async () => {
    await writeSampleGguf(join(scratch, "tiny.gguf"), config, sample, "tiny");
    const greedy = ["--temperature", "0", "--max-tokens", "9", "--cache", "bf16"];
    const whole = await run("tiny.gguf", "--prompt", "hello there", ...greedy);
    expect([whole.status, whole.stdout === ""]).toEqual([0, false]);
    const kept = await run("tiny.gguf", "--prompt", "hello there", ...greedy, "--max-tokens", "4", "--save", "half");
    const rest = await run("tiny.gguf", "--resume", "half", ...greedy, "--max-tokens", "5");
    expect(kept.stdout + rest.stdout).toBe(whole.stdout);
  });
});
