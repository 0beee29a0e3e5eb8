import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { bytesOption } from "../src/cli/option.ts";
import { load } from "../src/generate/load.ts";

const command = join(import.meta.dirname, "..", "bin", "biform.js");
let folder = "";
let child: ChildProcess | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "biform-command-"));
  execFileSync(process.execPath, [command, "make-model", join(folder, "latents.gguf"), "--preset", "deepseek3-moe"], {
    stdio: "ignore",
  });
});
afterEach(() => child?.kill("SIGKILL"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts `biform serve`; what it says first, and how it ends. */
async function serve(...args: string[]) {
  const started = spawn(process.execPath, [command, "serve", ...args, "--port", "0"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  child = started;
  let told = "";
  started.stderr.on("data", (data) => {
    told += data;
  });
  const ended = once(started, "exit");
  const line = await Promise.race([once(createInterface(started.stdout), "line"), ended]);
  return { line: String(line[0]), ended, told: () => told, kill: (signal: NodeJS.Signals) => started.kill(signal) };
}

const post = (url: string, path: string, body: object) =>
  fetch(`${url}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

test("biform serve tells where it is, answers over latents with the model's own log probabilities, and drains", async () => {
  const path = join(folder, "latents.gguf");
  const { line, ended, kill, told } = await serve(path, "--json", "--context", "256");
  const { ready, url, models } = JSON.parse(line);
  expect([ready, models[0].name, models[0].context]).toEqual([true, "latents", 256]);
  const ids = [5, 9, 2, 7, 7, 30];
  const answer = await (
    await post(url, "/v1/completions", { prompt: ids, echo: true, logprobs: 1, max_tokens: 1, temperature: 0 })
  ).json();
  const scores: number[] = answer.choices[0].logprobs.token_logprobs;
  expect(scores).toHaveLength(7);
  const loaded = await load(path);
  const session = loaded.session();
  try {
    const size = loaded.model.vocabulary;
    const logits = (await session.logits(Int32Array.from(ids)))!;
    for (let i = 1; i < ids.length; i++) {
      const row = logits.subarray((i - 1) * size, i * size);
      const sum = row.reduce((all, x) => all + Math.exp(x), 0);
      expect(Math.abs(scores[i]! - (row[ids[i]!]! - Math.log(sum)))).toBeLessThan(1e-4);
    }
  } finally {
    session.free();
    loaded.close();
  }
  const running = await post(url, "/v1/completions", { prompt: ids, max_tokens: 60, ignore_eos: true, stream: true });
  kill("SIGINT");
  expect(await running.text()).toContain("[DONE]");
  expect(await ended).toEqual([0, null]);
  expect(told()).toContain("ending once what runs has ended");
});

test("a folder of models is served without loading any; who is still at it after the grace is told so", async () => {
  const { line, ended, kill } = await serve("--models", folder, "--json", "--grace", "0");
  const { url, models } = JSON.parse(line);
  expect(models.map(({ name, loaded }: { name: string; loaded: boolean }) => [name, loaded])).toEqual([
    ["latents", false],
  ]);
  expect((await post(url, "/v1/completions", { model: "latents", prompt: [1, 2], max_tokens: 2 })).status).toBe(200);
  const endless = { model: "latents", prompt: [1, 2], max_tokens: 500, ignore_eos: true };
  const whole = post(url, "/v1/completions", endless);
  const stream = await post(url, "/v1/completions", { ...endless, stream: true });
  kill("SIGTERM");
  expect(await stream.text()).toContain('"code":"shutting_down"');
  const refused = await whole;
  expect([refused.status, (await refused.json()).error.code]).toEqual([503, "shutting_down"]);
  expect(await ended).toEqual([0, null]);
});

test("what cannot be served is said in a line", async () => {
  const { told, ended } = await serve(join(folder, "nothing.gguf"));
  expect(await ended).toEqual([1, null]);
  expect(told()).toMatch(/^biform: .*nothing.gguf: got ENOENT, expected a model; check the path\n$/);
});

test("bytes have a unit, none of them need none", () => {
  const parse = bytesOption("--prefixes");
  expect(["0", "512MiB", "4GB"].map(parse)).toEqual([0, 2 ** 29, 4e9]);
  for (const text of ["", "-1", "4", "0MiB", "many"]) expect(() => parse(text)).toThrow(/^--prefixes: got/);
});
