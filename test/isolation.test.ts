import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine, type EngineOptions } from "../src/batch/engine.ts";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { type Constrainer, openConstrainer } from "../src/server/constrain/constrainer.ts";
import type { Served } from "../src/server/served.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { appOf, eventsOf } from "./fixture/served.ts";

// Whole requests through the whole server over real models of random weights: nobody gets anything of another's.

const chatPath = "/v1/chat/completions";
const textPath = "/v1/completions";
const say = (role: string, content: string) => ({ role, content });
const idsOf = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (seed * 37 + i * i + 5 * i) % 256);

/** What a client wants, and how it takes the answer. */
interface Wish {
  readonly path: string;
  readonly body: object;
  /** Goes away after two events of a stream. */
  readonly leaves?: boolean;
}

const rules = ["You are short with everybody, and you never say why.", "Answer in the words of sailors ".repeat(12)];
const settings = (count: number, i: number) => ({
  temperature: 0,
  max_tokens: count,
  ignore_eos: true,
  stream: i % 3 === 1,
});
/** Longer than a page of a cache. */
const start = idsOf(110, 1);
const wishes: readonly Wish[] = [
  ...Array.from({ length: 8 }, (_, i): Wish => {
    const messages = [
      say("system", rules[i % 2]!),
      say("user", `Question ${i}: ${"what is it? ".repeat(1 + (i % 4))}`),
    ];
    return { path: chatPath, body: { messages, ...settings(5 + (i % 5), i) } };
  }),
  ...Array.from({ length: 8 }, (_, i): Wish => {
    const prompt = [...(i % 2 ? start : []), ...idsOf(1 + 7 * i, i + 2)];
    return { path: textPath, body: { prompt, ...settings(4 + (i % 6), i) } };
  }),
  { path: chatPath, body: { messages: [say("user", "two, please")], ...settings(6, 0), n: 2 } },
  { path: chatPath, body: { messages: [say("user", "gone soon")], ...settings(30, 1) }, leaves: true },
  { path: textPath, body: { prompt: start, ...settings(30, 1) }, leaves: true },
  ...["[ab]{4}c", "(yes|no|never), sir"].map(
    (regex): Wish => ({
      path: chatPath,
      body: { messages: [say("user", "letters")], temperature: 0, max_tokens: 20, structured_outputs: { regex } },
    }),
  ),
  { path: chatPath, body: { messages: [say("user", "refuse this")], ...settings(4, 0) } },
  { path: textPath, body: { prompt: start, ...settings(100_000, 0) } },
  {
    path: chatPath,
    body: {
      messages: [say("user", "a")],
      response_format: { type: "json_schema", json_schema: { name: "a", schema: { type: "b" } } },
    },
  },
];
const template =
  "{% for m in messages %}{% if m.content == 'refuse this' %}{{ raise_exception('not this') }}{% endif %}" +
  "<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/** What a client got: texts, or an error as it stands. */
interface Got {
  readonly status: number;
  readonly texts: readonly string[];
  readonly cached: number | undefined;
  readonly error?: object;
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "biform-isolation-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each<[string, Preset]>([
  ["latents", "deepseek2"],
  ["states", "kimi-linear"],
])("twenty-four requests at once over %s", (name, preset) => {
  let loaded: LoadedModel;
  let constrainer: Constrainer;
  let alone: Got[];
  beforeAll(async () => {
    const path = join(folder, name);
    await writeSampleFolder(path, presetConfig(preset, "tiny"), { seed: 3, type: "F32" });
    const file = join(path, "tokenizer_config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, "utf8")), chat_template: template }));
    loaded = await load(path, { threads: 1 });
    const { tokenizer, model, end } = loaded;
    constrainer = await openConstrainer({ tokenizer: tokenizer!, vocabulary: model.vocabulary, end });
    const { ask, close } = open({ prefixes: 0, slots: 1 });
    alone = [];
    for (const wish of wishes) alone.push(await ask({ ...wish, leaves: false }, "a"));
    await close();
  });
  afterAll(() => {
    constrainer.close();
    loaded.close();
  });

  /** A server of the model; each key has prefixes of its own. */
  function open(options: EngineOptions) {
    const engine = new Engine(loaded, { context: 512, ...options });
    const { model, tokenizer, template, tokens, end, sampling, bytes } = loaded;
    const served: Served = {
      ...{ name, path: loaded.path, created: 1, vocabulary: model.vocabulary, context: engine.context, bytes },
      ...{ tokenizer, template, tokens, end, sampling, engine, constrainer: async () => constrainer },
      close: async () => {},
    };
    const { post, told } = appOf(served, { keys: ["a", "b", "c"], isolate: true });
    const ask = async ({ path, body, leaves }: Wish, key: string): Promise<Got> => {
      const response = await post(path, body, { Authorization: `Bearer ${key}` });
      if (response.status !== 200)
        return { status: response.status, texts: [], cached: undefined, error: (await response.json()).error };
      if (leaves) return { status: 200, texts: [await begin(response)], cached: undefined };
      const stream = "stream" in body && body.stream;
      const pieces = stream ? (await eventsOf(response)).data : [await response.json()];
      const texts: string[] = [];
      for (const { choices } of pieces)
        for (const { index, message, delta, text } of choices)
          texts[index] = (texts[index] ?? "") + (message?.content ?? delta?.content ?? text ?? "");
      return { status: 200, texts, cached: pieces.at(-1).usage?.prompt_tokens_details.cached_tokens };
    };
    const close = async () => {
      expect(told).toEqual([]);
      await engine.close();
    };
    return { ask, close, engine };
  }

  /** Checks what all got at once. */
  function compare(all: readonly Got[]): void {
    for (const [i, { status, texts, error }] of all.entries()) {
      const { leaves, body } = wishes[i]!;
      const expected = alone[i]!;
      const subject = JSON.stringify(body).slice(0, 200);
      if (leaves) expect(expected.texts[0]!.startsWith(texts[0]!), subject).toBe(true);
      else
        expect({ status, texts, error }, subject).toEqual({
          status: expected.status,
          texts: expected.texts,
          error: expected.error,
        });
    }
  }

  test("alone, each gets an answer of its own", () => {
    expect(alone.map(({ status }) => status)).toEqual([...Array(21).fill(200), 400, 400, 400]);
    const texts = alone.flatMap(({ texts }) => texts);
    // Two for n = 2, which are alike.
    expect(new Set(texts).size).toBe(texts.length - 1);
    expect(alone[19]!.texts[0]).toMatch(/^[ab]{4}c$/);
    expect(alone.slice(21).map(({ error }) => JSON.stringify(error))).toEqual([
      expect.stringContaining("not this"),
      expect.stringContaining("context_length_exceeded"),
      expect.stringContaining("response_format"),
    ]);
  });

  test("answers are those of each one alone, without prefixes and with", async () => {
    for (const [prefixes, keys] of [
      [0, ["a"]],
      [undefined, ["a", "a", "b"]],
    ] as const) {
      const { ask, close, engine } = open({ prefixes, slots: 12, chunk: 70 });
      for (const key of keys) compare(await Promise.all(wishes.map((wish) => ask(wish, key))));
      const { steps, stepsUpTo, prefixNodes } = engine.figures;
      expect(steps).toBeGreaterThan(stepsUpTo[8]!);
      expect(prefixNodes > 0).toBe(prefixes === undefined);
      await close();
    }
  });

  test("one key's prefixes are of no use to another", async () => {
    const { ask, close } = open({});
    const wishFor = (prompt: number[]) => ({ path: textPath, body: { prompt, temperature: 0, max_tokens: 1 } });
    await ask(wishFor(start), "a");
    const wish = wishFor([...start, 7]);
    const cached = [];
    for (const key of ["b", "c", "a"]) cached.push((await ask(wish, key)).cached);
    expect(cached).toEqual([0, 0, start.length]);
    const salted = { ...wish, body: { ...wish.body, cache_salt: "salt" } };
    expect([(await ask(salted, "a")).cached, (await ask(salted, "b")).cached]).toEqual([0, 0]);
    await close();
  });

  test("memory that ends in the middle of a step changes no answer", async () => {
    const { ask, close, engine } = open({ slots: 12, chunk: 70 });
    const { device } = loaded;
    const allocate = device.allocate.bind(device);
    const limits = [100, 400, 700, Number.POSITIVE_INFINITY];
    let failures = 0;
    device.allocate = (elements) => {
      const { tokensRead, running } = engine.figures;
      // Where one runs alone, as on a slow machine, nobody can make way for it.
      if (tokensRead < limits[failures]! || running < 2) return allocate(elements);
      failures++;
      throw new DeviceError("memory: got none for once, expected some");
    };
    try {
      compare(await Promise.all(wishes.map((wish) => ask(wish, "a"))));
    } finally {
      device.allocate = allocate;
    }
    expect(failures).toBe(3);
    await close();
  });
});

/** The text of a stream's first events, whose reader then goes away. */
async function begin(response: Response): Promise<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let i = 0; i < 3; i++) text += (await reader.read()).value ?? "";
  await reader.cancel();
  const pieces = text.matchAll(/^data: (\{.*\})$/gm);
  return [...pieces]
    .map(([, data]) => JSON.parse(data!).choices[0])
    .map((one) => one?.delta?.content ?? one?.text ?? "")
    .join("");
}
