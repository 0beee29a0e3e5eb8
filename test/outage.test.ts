import { mkdtemp, rm } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import workers from "node:worker_threads";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine } from "../src/batch/engine.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { load } from "../src/generate/load.ts";
import { openConstrainer } from "../src/server/constrain/constrainer.ts";
import { Metrics } from "../src/server/metrics.ts";
import { Registry } from "../src/server/registry.ts";
import { failure } from "../src/server/schema/answer.ts";
import { createApp } from "../src/server/server.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { openTemplate } from "../src/tokenizer/template.ts";
import { byteTokenizer } from "../src/tokenizer/tokenizer.ts";
import { eventsOf } from "./fixture/served.ts";

// Threads that end under a server, as they do where a machine has no memory left: what they had in hand fails, and what comes next does not.

const { Worker } = workers;
// Who took the class before it is replaced below takes the new one all the same.
vi.mock("../src/tensor/node.ts", async (original) => ({
  ...(await original<object>()),
  get Worker() {
    return workers.Worker;
  },
}));
/** Threads that were started, and of what. */
const started: { readonly script: string; readonly worker: workers.Worker }[] = [];
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "biform-outage-"));
  workers.Worker = class extends Worker {
    constructor(script: string | URL, settings?: workers.WorkerOptions) {
      super(script, settings);
      started.push({ script: String(script), worker: this });
    }
  };
  syncBuiltinESMExports();
});
afterEach(() => {
  started.length = 0;
});
afterAll(async () => {
  workers.Worker = Worker;
  syncBuiltinESMExports();
  await rm(folder, { recursive: true, force: true });
});

const threadsOf = (script: string) => started.filter((one) => one.script.includes(script)).map(({ worker }) => worker);
async function end(script: string): Promise<void> {
  for (const worker of threadsOf(script)) await worker.terminate();
}

test("a template's thread that ends while it is idle costs nobody anything", async () => {
  const template = openTemplate("t", "{{ messages[0].content }}");
  const render = (content: string) => template.render([{ role: "user", content }]);
  expect(await render("a")).toBe("a");
  await end("render");
  expect(await Promise.all(["b", "c"].map(render))).toEqual(["b", "c"]);
  expect(threadsOf("render")).toHaveLength(2);
  template.close();
});

test("a grammar has one thread, however many ask for it at once, and another one where that has ended", async () => {
  const constrainer = await openConstrainer({ tokenizer: byteTokenizer, vocabulary: 256, end: new Set() });
  const before = threadsOf("work").length;
  const open = () => constrainer.constrain({ kind: "regex", pattern: "[ab]{3}" });
  const all = await Promise.all(Array.from({ length: 5 }, open));
  expect(threadsOf("work")).toHaveLength(before + 1);
  await end("work");
  all[0]!.accept(97);
  expect(() => all[0]!.mask(new Float32Array(256))).toThrow(DeviceError);
  const again = await open();
  const logits = new Float32Array(256);
  again.mask(logits);
  expect([...logits.keys()].filter((id) => logits[id] === 0)).toEqual([97, 98]);
  constrainer.close();
});

test("what is wrong with one grammar is told to nobody who asks for another", async () => {
  const constrainer = await openConstrainer({ tokenizer: byteTokenizer, vocabulary: 256, end: new Set() });
  const before = threadsOf("work").length;
  // Takes many seconds.
  const rules = Array.from({ length: 600 }, (_, i) => `"${i}" [a-z${i % 10}]{${10_000 - i}}`);
  const slow = constrainer.constrain({ kind: "grammar", grammar: `root ::= ${rules.join(" ")}` });
  const refused = expect(slow).rejects.toThrow(/an end of its thread/);
  for (let i = 1; i < 8; i++) await constrainer.constrain({ kind: "regex", pattern: `a{${i}}` });
  // As many are at work as are kept: the next one waits for the first of them.
  const next = constrainer.constrain({ kind: "regex", pattern: "b" });
  await new Promise((resolve) => setTimeout(resolve, 10));
  await threadsOf("work")[before]!.terminate();
  await refused;
  (await next).free();
  constrainer.close();
});

test("a device's thread that ends fails what runs by an error of its own; then the model is loaded anew", async () => {
  const path = join(folder, "m.gguf");
  await writeSampleGguf(path, presetConfig("deepseek2", "tiny"), { seed: 1, type: "F32" });
  const open = async () => {
    const loaded = await load(path, { threads: 2 });
    const { model, tokenizer, template, tokens, end, sampling, bytes } = loaded;
    const engine = new Engine(loaded, { context: 400 });
    const close = async () => {
      await engine.close();
      loaded.close();
    };
    return {
      ...{ name: "m", path, created: 1, vocabulary: model.vocabulary, context: 400, bytes, constrainer: undefined },
      ...{ tokenizer, template, tokens, end, sampling, engine, close },
    };
  };
  const registry = new Registry([{ name: "m", path, bytes: 1, created: 1 }], open);
  const hall = { registry, seconds: 60, metrics: new Metrics(registry), version: "1", tell: () => {} };
  const app = createApp(hall, { keys: [], isolate: false, origins: [], hosts: undefined, bodyBytes: 1e6 });
  const ask = (more: object) =>
    app.request("/v1/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ prompt: [1, 2, 3], max_tokens: 8, temperature: 0, ignore_eos: true, ...more }),
    });
  const alone = (await (await ask({})).json()).choices[0].text;
  const asked = ask({ max_tokens: 300 });
  // Answers once it has begun.
  const streamed = await ask({ stream: true, max_tokens: 300 });
  await end("device/worker");
  const whole = await asked;
  const { data } = await eventsOf(streamed);
  expect(data.at(-1)).toMatchObject({ error: { type: "server_error", code: "device_error" } });
  expect(whole.status).toBe(503);
  expect(failure.parse(await whole.json()).error.message).toMatch(/wasm threads: got a worker that ended/);
  const health = await app.request("/health");
  expect([health.status, await health.json()]).toEqual([503, { status: "failed", models: ["m"] }]);
  // Nobody uses it any longer.
  const again = await ask({});
  expect([again.status, (await again.json()).choices[0].text]).toEqual([200, alone]);
  expect((await app.request("/health")).status).toBe(200);
  await registry.close({ drain: false });
});
