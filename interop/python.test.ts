// Python's openai: client.py says what it got.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { python, type Server, serve, smol, tools } from "./serve.ts";

let server: Server;
beforeAll(async () => {
  server = await serve(smol(), "--context", "2048", "--api-key", "secret", "--chat-template", tools);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("chat, pieces, schema, tools, responses, log probabilities, an abort and an error", () => {
  const client = join(import.meta.dirname, "client.py");
  const got = JSON.parse(execFileSync(python, [client, server.url, server.models[0]!], { encoding: "utf8" }));
  expect(got.text).toContain("Paris");
  expect(Object.keys(got.schema)).toEqual(["city"]);
  expect(got.call).toEqual([["weather", { city: expect.any(String) }]]);
  expect(got.response.length).toBeGreaterThan(0);
  expect(got.logprobs).toHaveLength(5);
  expect(got.logprobs[0]).toBeNull();
  for (const score of got.logprobs.slice(1)) expect(score).toBeLessThan(0);
  expect(got.error).toEqual([400, "guess"]);
});
