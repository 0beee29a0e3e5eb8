// Python's openai: client.py says what it got.
import { afterAll, beforeAll, expect, test } from "vitest";
import { runPython, type Server, serve, smol, tools } from "./serve.ts";

let server: Server;
beforeAll(async () => {
  server = await serve(smol(), "--context", "2048", "--api-key", "secret", "--chat-template", tools);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("chat, pieces, schema, tools, responses, log probabilities, an abort and an error", async () => {
  const { stdout, status } = await runPython("client.py", server.url, server.models[0]!);
  expect(status).toBe(0);
  const got = JSON.parse(stdout);
  expect(got.text).toContain("Paris");
  expect(Object.keys(got.schema)).toEqual(["city"]);
  expect(got.call).toEqual([["weather", { city: expect.any(String) }]]);
  expect(got.response.length).toBeGreaterThan(0);
  expect(got.logprobs).toHaveLength(5);
  expect(got.logprobs[0]).toBeNull();
  for (const score of got.logprobs.slice(1)) expect(score).toBeLessThan(0);
  expect(got.error).toEqual([400, "guess"]);
});
