import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine } from "../src/batch/engine.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { scoreToken } from "../src/generate/score.ts";
import { appOf, servedBy } from "./fixture/served.ts";

// A hybrid of KDA and MLA over HTTP: what states change for a client is nothing but what is cached.

let folder = "";
let loaded: LoadedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "biform-states-"));
  const path = join(folder, "hybrid");
  await writeSampleFolder(path, presetConfig("ling3", "tiny"), { seed: 3, type: "F32" });
  loaded = await load(path, { threads: 1 });
});
afterAll(async () => {
  loaded.close();
  await rm(folder, { recursive: true, force: true });
});

const idsOf = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (seed * 37 + i * i + 5 * i) % 256);

/** A server of the model, whose prefixes outlive it. */
function open() {
  const engine = new Engine(loaded, { context: 1024, cacheDir: join(folder, "cache") });
  const { model, tokenizer, end, sampling } = loaded;
  const { app, post, told } = appOf(
    servedBy(engine, { vocabulary: model.vocabulary, context: engine.context, tokenizer, end, sampling }),
  );
  const complete = async (body: object) => {
    const response = await post("/v1/completions", { temperature: 0, ignore_eos: true, max_tokens: 4, ...body });
    expect(response.status).toBe(200);
    return response.json();
  };
  const close = async () => {
    expect(told).toEqual([]);
    await engine.drain();
    await engine.close();
  };
  return { app, complete, close };
}

const textsOf = ({ choices }: { choices: { text: string }[] }) => choices.map(({ text }) => text);

test("log probabilities of a prompt are those of its logits", async () => {
  const { complete, close } = open();
  const prompt = idsOf(70, 1);
  const { choices } = await complete({ prompt, echo: true, logprobs: 1 });
  const session = loaded.session();
  const logits = (await session.logits(Int32Array.from(prompt)))!;
  session.free();
  const width = logits.length / prompt.length;
  const { token_logprobs: got } = choices[0].logprobs;
  expect(got).toHaveLength(74);
  for (const [i, id] of prompt.slice(1).entries())
    expect(got[i + 1]).toBeCloseTo(scoreToken(logits.subarray(i * width, (i + 1) * width), id, 0).logprob, 4);
  await close();
});

test("prompts of mixed lengths in one batch are answered as each alone", async () => {
  const { complete, close } = open();
  const prompt = [3, 64, 17, 65].map((count, i) => idsOf(count, i));
  const alone = [];
  for (const [i, one] of prompt.entries())
    alone.push(...textsOf(await complete({ prompt: one, cache_salt: `alone ${i}` })));
  expect(textsOf(await complete({ prompt }))).toEqual(alone);
  expect(new Set(alone).size).toBe(alone.length);
  await close();
});

test("what prompts begin with is found at a snapshot, where two have parted, and after a restart", async () => {
  const start = idsOf(300, 7);
  const cached: number[] = [];
  const ask = async ({ complete }: ReturnType<typeof open>, question: number) => {
    const prompt = [...start, ...idsOf(5, question)];
    const one = await complete({ prompt });
    cached.push(one.usage.prompt_tokens_details.cached_tokens);
    if (question > 2)
      expect(textsOf(one)).toEqual(textsOf(await complete({ prompt, cache_salt: `fresh ${question}` })));
  };
  const first = open();
  for (const question of [1, 2, 3]) await ask(first, question);
  const metrics = await (await first.app.request("/metrics")).text();
  expect(metrics).toContain('biform_engine_tokens_cached_total{model="m"} 556');
  expect(metrics).toContain('biform_engine_prefix_hits_total{model="m"} 2');
  await first.close();
  const second = open();
  await ask(second, 4);
  await second.close();
  expect(cached).toEqual([0, 256, 300, 300]);
});
