// npm's openai, as people call it.
import OpenAI, { APIError, APIUserAbortError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeLatents, type Server, serve, smol } from "./serve.ts";

let server: Server;
let client: OpenAI;
const latents = makeLatents();
beforeAll(async () => {
  server = await serve(smol(), latents.path, "--context", "2048");
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  latents.remove();
});

const hello: OpenAI.ChatCompletionMessageParam[] = [
  { role: "user", content: "What is the capital of France? Answer in one word." },
];

describe.each([0, 1])("model %i", (index) => {
  const model = () => server.models[index]!;

  test("answers, and the same in pieces with usage", async () => {
    const ask = { model: model(), messages: [...hello], temperature: 0, max_completion_tokens: 12 };
    const whole = await client.chat.completions.create(ask);
    const text = whole.choices[0]!.message.content!;
    expect(whole.usage!.completion_tokens).toBeGreaterThan(0);
    if (index === 0) expect(text).toContain("Paris");
    let pieces = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      pieces += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(pieces).toBe(text);
    expect(usage!.completion_tokens).toBe(whole.usage!.completion_tokens);
    expect(usage!.prompt_tokens).toBe(whole.usage!.prompt_tokens);
  });

  test("log probabilities of an answer, and of a prompt of ids", async () => {
    const chat = await client.chat.completions.create({
      model: model(),
      messages: [...hello],
      temperature: 0,
      max_completion_tokens: 4,
      logprobs: true,
      top_logprobs: 3,
    });
    for (const { logprob, top_logprobs: top } of chat.choices[0]!.logprobs!.content!) {
      expect(top).toHaveLength(3);
      expect(logprob).toBe(top[0]!.logprob);
    }
    const prompt = [5, 6, 7, 8, 9];
    const echo = await client.completions.create({ model: model(), prompt, max_tokens: 0, echo: true, logprobs: 1 });
    const { token_logprobs: scores, tokens } = echo.choices[0]!.logprobs!;
    expect(tokens).toHaveLength(5);
    expect(scores![0]).toBeNull();
    for (const score of scores!.slice(1)) expect(score).toBeLessThan(0);
  });

  test("answers by a seed, several at once, each its own", async () => {
    const ask = { model: model(), messages: [...hello], temperature: 1.5, max_completion_tokens: 8, n: 3, seed: 7 };
    // With a salt of its own each reads the whole prompt: a token that is read alone is rounded otherwise than one among many.
    const salted = (cache_salt: string) => client.chat.completions.create({ ...ask, cache_salt } as typeof ask);
    const [a, b] = [await salted("a"), await salted("b")];
    const texts = (one: typeof a) => one.choices.map(({ message }) => message.content);
    expect(texts(a)).toEqual(texts(b));
    expect(new Set(texts(a)).size).toBeGreaterThan(1);
  });

  test("an answer by a schema", async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string", maxLength: 12 }, big: { type: "boolean" } },
      required: ["city", "big"],
      additionalProperties: false,
    };
    const { choices } = await client.chat.completions.create({
      model: model(),
      messages: [...hello],
      temperature: 0,
      max_completion_tokens: 200,
      response_format: { type: "json_schema", json_schema: { name: "city", schema, strict: true } },
    });
    const answer = JSON.parse(choices[0]!.message.content!);
    expect(Object.keys(answer)).toEqual(["city", "big"]);
    expect(typeof answer.city).toBe("string");
    expect(typeof answer.big).toBe("boolean");
  });

  test("a response, whole and by events", async () => {
    const ask = { model: model(), input: "Say hello.", temperature: 0, max_output_tokens: 16, store: false } as const;
    // Once before, so that both find the same prefix cached: a token read alone is rounded otherwise than one among many.
    await client.responses.create(ask);
    const whole = await client.responses.create(ask);
    expect(whole.output_text.length).toBeGreaterThan(0);
    const kinds: string[] = [];
    let text = "";
    for await (const event of await client.responses.create({ ...ask, stream: true })) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(kinds[0]).toBe("response.created");
    expect(["response.completed", "response.incomplete"]).toContain(kinds.at(-1));
    expect(text).toBe(whole.output_text);
  });

  test("an abort ends the stream, and the server answers on", async () => {
    const stream = await client.chat.completions.create({
      model: model(),
      messages: [...hello],
      temperature: 1,
      max_completion_tokens: 1000,
      stream: true,
    });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) stream.controller.abort();
    expect(seen).toBeLessThan(1000);
    const abort = new AbortController();
    const late = client.chat.completions.create(
      { model: model(), messages: [...hello], max_completion_tokens: 1000 },
      { signal: abort.signal },
    );
    setTimeout(() => abort.abort(), 50);
    await expect(late).rejects.toBeInstanceOf(APIUserAbortError);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(server.models);
  });
});

test("errors say what to do", async () => {
  const fails = async (ask: Promise<unknown>) => {
    const error = await ask.then(
      () => undefined,
      (got: unknown) => got,
    );
    expect(error).toBeInstanceOf(APIError);
    return error as APIError;
  };
  const messages = [...hello];
  const missing = await fails(client.chat.completions.create({ model: "nope", messages }));
  expect([missing.status, missing.code]).toEqual([404, "model_not_found"]);
  const unknown = await fails(
    client.chat.completions.create({ model: server.models[0]!, messages, moderation: "low" } as never),
  );
  expect([unknown.status, unknown.param]).toEqual([400, "moderation"]);
  const long = await fails(
    client.completions.create({ model: server.models[0]!, prompt: Array(3000).fill(5), max_tokens: 1 }),
  );
  expect([long.status, long.code]).toEqual([400, "context_length_exceeded"]);
  expect(long.message).toContain("2048");
  const embeddings = await fails(client.embeddings.create({ model: server.models[0]!, input: "a" }));
  expect(embeddings.message).toContain("embeddings");
});
