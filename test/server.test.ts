import { describe, expect, test } from "vitest";
import { Refused } from "../src/batch/request.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { appOf, eventsOf, scoreOf, scripted, servedBy } from "./fixture/served.ts";

const user = (content: unknown) => ({ messages: [{ role: "user", content }] });
const usage = {
  prompt_tokens: 19,
  completion_tokens: 6,
  total_tokens: 25,
  prompt_tokens_details: { cached_tokens: 1 },
  completion_tokens_details: { reasoning_tokens: 0 },
};
const biform = {
  prompt_tokens_per_second: 9,
  tokens_per_second: 1.25,
  seconds: { waited: 0.5, first: 2, writing: 4 },
  cached_tokens: 1,
  cache_bytes: 1000,
  forms: { absorbed: 3 },
};

describe("/v1/chat/completions", () => {
  test("answers in OpenAI's shape", async () => {
    const { post } = appOf(servedBy(scripted()));
    const response = await post("/v1/chat/completions", { model: "m", ...user("hi") });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: "chat.completion",
      created: expect.closeTo(Date.now() / 1000, -2),
      model: "m",
      system_fingerprint: "biform-1",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello!", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage,
      biform,
    });
  });

  test("streams chunks: the role first, then text, the reason at the end, then usage where it is asked for", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = { ...user("hi"), stream: true, stream_options: { include_usage: true } };
    const response = await post("/v1/chat/completions", asked);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const { data, done } = await eventsOf(response);
    expect(done).toBe(true);
    expect(new Set(data.map(({ id }) => id)).size).toBe(1);
    expect(new Set(data.map(({ object }) => object))).toEqual(new Set(["chat.completion.chunk"]));
    expect(data[0].choices).toEqual([
      { index: 0, delta: { role: "assistant", content: "H" }, logprobs: null, finish_reason: null },
    ]);
    expect(data.slice(1, -2).map(({ choices }) => choices[0].delta)).toEqual(
      [..."ello!"].map((content) => ({ content })),
    );
    expect(data.at(-2).choices).toEqual([{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }]);
    expect(data.at(-2).biform).toEqual(biform);
    expect(data.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(data.at(-1)).toMatchObject({ choices: [], usage, biform });
  });

  test("has no usage in chunks unless it is asked for", async () => {
    const { post } = appOf(servedBy(scripted()));
    const { data } = await eventsOf(await post("/v1/chat/completions", { ...user("hi"), stream: true }));
    expect(data.some((chunk) => "usage" in chunk)).toBe(false);
  });

  test("writes the conversation by the template, parts of a text as lines, developer as system, a refusal as what was said", async () => {
    const engine = scripted();
    const { post } = appOf(servedBy(engine));
    const messages = [
      { role: "developer", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { role: "assistant", content: null, refusal: "No." },
    ];
    expect((await post("/v1/chat/completions", { messages })).status).toBe(200);
    expect(new TextDecoder().decode(Uint8Array.from(engine.asked[0]!.ids))).toBe(
      "<system>Be brief.<user>a\nb<assistant>No.<assistant>",
    );
  });

  test("gives log probabilities of each token with the likeliest, and their bytes", async () => {
    const { post } = appOf(servedBy(scripted({ text: "ab" })));
    const asked = { ...user("hi"), logprobs: true, top_logprobs: 2 };
    const { choices } = await (await post("/v1/chat/completions", asked)).json();
    const entry = (token: string, logprob: number) => ({ token, logprob, bytes: [token.charCodeAt(0)] });
    expect(choices[0].logprobs).toEqual({
      refusal: null,
      content: [
        { ...entry("a", -1), top_logprobs: [entry("a", -1), entry("b", -2)] },
        { ...entry("b", -1.125), top_logprobs: [entry("b", -1.125), entry("c", -2.125)] },
      ],
    });
    const { data } = await eventsOf(await post("/v1/chat/completions", { ...asked, stream: true }));
    expect(data.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? [])).toEqual(choices[0].logprobs.content);
  });

  test("gives n answers, each with a seed of its own, and counts the prompt once", async () => {
    const engine = scripted({ text: (_, i) => `${i}` });
    const { post } = appOf(servedBy(engine));
    const { choices, usage } = await (await post("/v1/chat/completions", { ...user("hi"), n: 3, seed: 5 })).json();
    expect(
      choices.map((choice: { index: number; message: { content: string } }) => [choice.index, choice.message.content]),
    ).toEqual([
      [0, "0"],
      [1, "1"],
      [2, "2"],
    ]);
    expect(engine.asked.map(({ seed }) => seed)).toEqual([5, 6, 7]);
    expect(usage).toMatchObject({ prompt_tokens: 19, completion_tokens: 3 });
  });

  test("asks the engine for what the request says, and else for what the model's own settings say", async () => {
    const engine = scripted();
    const { post } = appOf(servedBy(engine, { sampling: { temperature: 0.3, topP: 0.5 } }));
    await post("/v1/chat/completions", {
      ...user("hi"),
      top_p: 0.9,
      top_k: -1,
      min_p: 0.1,
      repetition_penalty: 1.5,
      presence_penalty: 1,
      frequency_penalty: -1,
      logit_bias: { "65": -100 },
      stop: "x",
      stop_token_ids: [7],
      seed: 3,
      max_completion_tokens: 9,
      cache_salt: "s",
    });
    expect(engine.asked[0]).toMatchObject({
      temperature: 0.3,
      topP: 0.9,
      topK: 0,
      minP: 0.1,
      repetitionPenalty: 1.5,
      presencePenalty: 1,
      frequencyPenalty: -1,
      bias: new Map([[65, -100]]),
      stop: ["x"],
      end: new Set([0, 7]),
      seed: 3,
      maxTokens: 9,
      realm: " s",
      special: "omit",
    });
  });

  test("tells the place in the queue as comments, which clients skip", async () => {
    const { post } = appOf(servedBy(scripted({ places: 2 })));
    const { comments, data } = await eventsOf(await post("/v1/chat/completions", { ...user("hi"), stream: true }));
    expect(comments).toEqual([
      "queued at place 2",
      "queued at place 1",
      expect.stringMatching(/^read \d+ tokens, 1 of them cached$/),
    ]);
    expect(data[0].choices[0].delta.role).toBe("assistant");
  });
});

describe("/v1/completions", () => {
  test("answers in OpenAI's shape, 16 tokens unless more are asked for", async () => {
    const engine = scripted({ text: "x".repeat(40) });
    const { post } = appOf(servedBy(engine));
    const response = await post("/v1/completions", { prompt: "hey" });
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      created: expect.any(Number),
      model: "m",
      system_fingerprint: "biform-1",
      choices: [{ text: "x".repeat(16), index: 0, logprobs: null, finish_reason: "length" }],
      usage: { prompt_tokens: 3, completion_tokens: 16, total_tokens: 19, prompt_tokens_details: { cached_tokens: 1 } },
      biform: expect.any(Object),
    });
  });

  test("echoes a prompt with its log probabilities as lm-eval's local-completions reads them", async () => {
    const { post } = appOf(servedBy(scripted({ text: "d" })));
    const asked = { prompt: [97, 98, 99], echo: true, logprobs: 1, max_tokens: 1, temperature: 0, seed: 1234 };
    const { choices } = await (await post("/v1/completions", asked)).json();
    expect(choices).toEqual([
      {
        text: "abcd",
        index: 0,
        finish_reason: "length",
        logprobs: {
          tokens: ["a", "b", "c", "d"],
          token_logprobs: [null, -1.125, -1.25, -1],
          top_logprobs: [null, { b: -1.125 }, { c: -1.25 }, { d: -1 }],
          text_offset: [0, 1, 2, 3],
        },
      },
    ]);
  });

  test("reads a prompt alone with max_tokens 0", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = { prompt: "ab", echo: true, logprobs: 0, max_tokens: 0 };
    const { choices, usage } = await (await post("/v1/completions", asked)).json();
    expect(choices[0].text).toBe("ab");
    expect(choices[0].logprobs).toEqual({
      tokens: ["a", "b"],
      token_logprobs: [null, -1.125],
      top_logprobs: [null, { b: -1.125 }],
      text_offset: [0, 1],
    });
    expect(usage.completion_tokens).toBe(0);
  });

  test("takes lists of texts and of ids, and numbers the answers over all of them", async () => {
    const engine = scripted({ text: ({ ids }, i) => `${ids.length}${i}` });
    const { post } = appOf(servedBy(engine));
    for (const prompt of [
      ["a", "bc"],
      [[97], [98, 99]],
    ]) {
      engine.asked.length = 0;
      const { choices, usage } = await (await post("/v1/completions", { prompt, n: 2 })).json();
      expect(choices.map(({ text, index }: { text: string; index: number }) => [index, text])).toEqual([
        [0, "10"],
        [1, "11"],
        [2, "22"],
        [3, "23"],
      ]);
      expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 8 });
    }
  });

  test("writes a part of a character as its bytes, and keeps its offset", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = { prompt: "é!", echo: true, logprobs: 2, max_tokens: 0 };
    const { logprobs } = (await (await post("/v1/completions", asked)).json()).choices[0];
    expect(logprobs.tokens).toEqual(["bytes:\\xc3", "bytes:\\xa9", "!"]);
    expect(logprobs.text_offset).toEqual([0, 0, 1]);
    expect(logprobs.top_logprobs[1]).toEqual({ "bytes:\\xa9": scoreOf(0xa9, 1, 2).logprob, "bytes:\\xaa": -2.125 });
  });

  test("streams the same text, echo and log probabilities as it answers at once", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = { prompt: ["ab", "c"], echo: true, logprobs: 1, max_tokens: 4 };
    const whole = await (await post("/v1/completions", asked)).json();
    const { data, done } = await eventsOf(await post("/v1/completions", { ...asked, stream: true }));
    expect(done).toBe(true);
    for (const { index, text, logprobs } of whole.choices) {
      const own = data.map((chunk) => chunk.choices[0]).filter((choice) => choice.index === index);
      expect(own.map((choice) => choice.text).join("")).toBe(text);
      expect(own.flatMap((choice) => choice.logprobs?.token_logprobs ?? [])).toEqual(logprobs.token_logprobs);
      expect(own.flatMap((choice) => choice.logprobs?.text_offset ?? [])).toEqual(logprobs.text_offset);
    }
  });
});

describe("what is refused", () => {
  const completions = "/v1/completions";
  const chat = "/v1/chat/completions";
  test.each([
    [completions, { prompt: "a", best_of: 2 }, "best_of"],
    [completions, { prompt: "a", suffix: "b" }, "suffix"],
    [completions, { prompt: "a", unheard_of: 1 }, "unheard_of"],
    [completions, { prompt: "a", temperature: 3 }, "temperature"],
    [completions, { prompt: "a", top_p: 0 }, "top_p"],
    [completions, { prompt: "a", n: 17 }, "n"],
    [completions, { prompt: "a", logprobs: 21 }, "logprobs"],
    [completions, { prompt: "a", stop: Array(17).fill("x") }, "stop"],
    [completions, { prompt: "a", stop: [""] }, "stop[0]"],
    [completions, { prompt: "a", seed: 1.5 }, "seed"],
    [completions, { prompt: "a", max_tokens: -1 }, "max_tokens"],
    [completions, { prompt: "a", logit_bias: { x: 1 } }, "logit_bias.x"],
    [completions, { prompt: "a", logit_bias: { 256: 1 } }, "logit_bias"],
    [
      completions,
      { prompt: "a", logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) },
      "logit_bias",
    ],
    [completions, { prompt: "a", stop_token_ids: [256] }, "stop_token_ids"],
    [completions, { prompt: [] }, "prompt"],
    [completions, { prompt: [256] }, "prompt"],
    [completions, { prompt: [[1], "a", "b"] }, "prompt[0]"],
    [completions, { prompt: Array(257).fill("a") }, "prompt"],
    [completions, {}, "prompt"],
    [completions, { prompt: "a", store: true }, "store"],
    [completions, { prompt: "a", stream_options: { x: 1 } }, "stream_options.x"],
    [completions, { prompt: "a", stream_options: { include_usage: true } }, "stream_options"],
    [chat, { ...user("a"), max_completion_tokens: 3, max_tokens: 4 }, "max_tokens"],
    [chat, { ...user("a"), top_logprobs: 2 }, "top_logprobs"],
    [chat, { ...user("a"), functions: [] }, "functions"],
    [chat, { ...user("a"), max_tokens: 0 }, "max_tokens"],
    [chat, { messages: [] }, "messages"],
    [chat, { messages: [{ role: "alien", content: "a" }] }, "messages[0].role"],
    [chat, { messages: [{ role: "user" }] }, "messages[0].content"],
    [chat, { messages: [{ role: "tool", content: "a" }] }, "messages[0].tool_call_id"],
    [chat, { messages: [{ role: "assistant" }] }, "messages[0].content"],
    [chat, { messages: [{ role: "assistant", content: "a", refusal: "b" }] }, "messages[0].refusal"],
    [chat, user([{ type: "image_url", image_url: { url: "data:," } }]), "messages[0].content[0].type"],
    [chat, user([{ type: "input_audio", input_audio: {} }]), "messages[0].content[0].type"],
    [chat, { ...user("a"), modalities: ["text", "audio"] }, "modalities"],
    [chat, { ...user("a"), service_tier: "flex" }, "service_tier"],
  ] as const)("%s: %#", async (path, body, param) => {
    const engine = scripted();
    const { post, told } = appOf(servedBy(engine));
    const response = await post(path, body);
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toEqual({
      message: expect.stringContaining(param),
      type: "invalid_request_error",
      param,
      code: expect.stringMatching(/^(invalid_value|missing_parameter|unsupported_parameter)$/),
    });
    expect(engine.asked).toEqual([]);
    expect(told).toEqual([]);
  });

  test("null counts as not given, as OpenAI's API has it", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = { prompt: "a", suffix: null, best_of: null, stop: null, logprobs: null, temperature: null };
    expect((await post(completions, asked)).status).toBe(200);
  });

  test("what clients always send is taken", async () => {
    const { post } = appOf(servedBy(scripted()));
    const asked = {
      user: "u",
      metadata: { a: "b" },
      store: false,
      service_tier: "auto",
      safety_identifier: "s",
      prompt_cache_key: "k",
    };
    expect((await post(chat, { ...user("a"), ...asked })).status).toBe(200);
  });

  test.each([
    ["no JSON", "{"],
    ["no UTF-8", "\xff"],
    ["no object", "[1]"],
    ["brackets without end", "[".repeat(5000)],
    ["brackets in a value", `{"prompt":"a","metadata":${"[".repeat(200)}${"]".repeat(200)}}`],
  ])("a body that is %s", async (_, body) => {
    const { app } = appOf(servedBy(scripted()));
    const bytes = Uint8Array.from(body, (c) => c.charCodeAt(0));
    const response = await app.request(completions, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: bytes,
    });
    expect(response.status).toBe(400);
    const { type, code } = (await response.json()).error;
    expect([type, code]).toEqual(["invalid_request_error", body === "[1]" ? "invalid_value" : "invalid_json"]);
  });

  test("a body of another type, and one that is too long, whether it says so or not", async () => {
    const { app, post } = appOf(servedBy(scripted()), { bodyBytes: 100 });
    const plain = await app.request(completions, { method: "POST", body: '{"prompt":"a"}' });
    expect([plain.status, (await plain.json()).error.code]).toEqual([415, "unsupported_media_type"]);
    expect((await post(completions, { prompt: "a" }, { "Content-Encoding": "gzip" })).status).toBe(415);
    const long = JSON.stringify({ prompt: "a".repeat(200) });
    expect((await post(completions, long)).status).toBe(413);
    const response = await post(completions, long, { "Content-Length": String(long.length) });
    expect(response.status).toBe(413);
    expect((await response.json()).error.code).toBe("body_too_large");
  });

  test("more tokens than the context has, with the numbers", async () => {
    const { post } = appOf(servedBy(scripted(), { context: 20 }));
    const long = [
      [completions, { prompt: "a".repeat(20) }, "prompt"],
      // Not even cut into tokens.
      [completions, { prompt: "a".repeat(21) }, "prompt"],
      [completions, { prompt: "ab", max_tokens: 19 }, "max_tokens"],
      [chat, { ...user("a"), max_completion_tokens: 20 }, "max_completion_tokens"],
      [chat, user("a".repeat(20)), "messages"],
      ["/v1/responses", { input: "a", max_output_tokens: 20 }, "max_output_tokens"],
    ] as const;
    for (const [path, body, param] of long) {
      const response = await post(path, body);
      expect(response.status).toBe(400);
      const { error } = await response.json();
      expect(error).toMatchObject({ param, code: "context_length_exceeded", message: expect.stringContaining("20") });
    }
    expect((await post(completions, { prompt: "a".repeat(20), max_tokens: 0 })).status).toBe(200);
  });

  test("a model that is not there, with those that are", async () => {
    const { post } = appOf(servedBy(scripted()));
    const response = await post(completions, { model: "gpt-4o", prompt: "a" });
    expect(response.status).toBe(404);
    expect((await response.json()).error).toMatchObject({
      message: expect.stringContaining("expected one of m"),
      param: "model",
      code: "model_not_found",
    });
  });

  test("text or a conversation for a model that has no tokenizer or template", async () => {
    const bare = appOf(servedBy(scripted(), { tokenizer: undefined, template: undefined }));
    expect((await bare.post(completions, { prompt: "a" })).status).toBe(400);
    expect((await bare.post(chat, user("a"))).status).toBe(400);
    expect((await bare.post(completions, { prompt: [1] })).status).toBe(200);
  });

  test("what the template refuses, without telling where the model lies", async () => {
    const render = () => Promise.reject(new FormatError("/models/m: chat template: got roles, expected turns"));
    const { post } = appOf(servedBy(scripted(), { template: { source: undefined, render, close() {} } }));
    const response = await post(chat, user("a"));
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({
      message: "m: chat template: got roles, expected turns",
      param: "messages",
    });
  });
});

describe("what the engine refuses", () => {
  test.each([
    ["size", 400, "context_length_exceeded", null],
    ["queue", 429, "queue_full", "1"],
    ["closing", 503, "shutting_down", "1"],
  ] as const)("%s is status %i", async (reason, status, code, after) => {
    const engine = scripted({ refuses: new Refused(reason, "too much") });
    const { post } = appOf(servedBy(engine));
    for (const stream of [false, true]) {
      const response = await post("/v1/completions", { prompt: "a", stream });
      expect(response.status).toBe(status);
      expect(response.headers.get("retry-after")).toBe(after);
      expect((await response.json()).error).toMatchObject({ message: "too much", code });
    }
  });

  test("an error of its own is told to the log, and to the client without its words", async () => {
    const { post, told } = appOf(servedBy(scripted({ breaks: new Error("secret") })));
    const response = await post("/v1/completions", { prompt: "a" });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(String(told)).toContain("secret");
  });

  test("in the midst of a stream it is the last event", async () => {
    const { post } = appOf(servedBy(scripted({ breaks: new ShapeError("no token may follow") })));
    const { data, done } = await eventsOf(await post("/v1/chat/completions", { ...user("a"), stream: true }));
    expect(done).toBe(false);
    expect(data.at(-1).error).toMatchObject({ message: "no token may follow", type: "invalid_request_error" });
  });

  test("a request that takes too long ends with its reason", async () => {
    const engine = scripted({ text: "x".repeat(1000), pause: 5 });
    const { post } = appOf(servedBy(engine), {}, 0.05);
    const response = await post("/v1/completions", { prompt: "a", max_tokens: 900 });
    expect(response.status).toBe(504);
    expect(engine.open.size).toBe(0);
  });
});

describe("who is let in", () => {
  test("with keys, only who brings one; /health for everybody", async () => {
    const { app } = appOf(servedBy(scripted()), { keys: ["one", "two"] });
    const get = (path: string, key?: string) =>
      app.request(path, key === undefined ? {} : { headers: { Authorization: key } });
    expect((await get("/health")).status).toBe(200);
    for (const key of [undefined, "Bearer three", "Bearer", "one", "Bearer one two", ""]) {
      const response = await get("/v1/models", key);
      expect(response.status).toBe(401);
      expect((await response.json()).error).toMatchObject({ type: "authentication_error", code: "invalid_api_key" });
    }
    for (const key of ["Bearer one", "bearer two"]) expect((await get("/v1/models", key)).status).toBe(200);
  });

  test("with --isolate each key has a realm of its own, and all share one without", async () => {
    const realms = async (isolate: boolean) => {
      const engine = scripted();
      const { post } = appOf(servedBy(engine), { keys: ["one", "two"], isolate });
      for (const key of ["one", "two", "one"])
        await post("/v1/completions", { prompt: "a" }, { Authorization: `Bearer ${key}` });
      return engine.asked.map(({ realm }) => realm);
    };
    const [first, second, third] = await realms(true);
    expect(first).not.toBe(second);
    expect(first).toBe(third);
    expect(new Set(await realms(false)).size).toBe(1);
  });

  test("only by the names of this machine, where it listens to itself alone", async () => {
    const { app } = appOf(servedBy(scripted()), { hosts: ["localhost", "127.0.0.1", "[::1]"] });
    const status = async (host: string) => (await app.request("/health", { headers: { Host: host } })).status;
    for (const host of ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
      expect(await status(host)).toBe(200);
    for (const host of ["evil.com", "evil.com:8080", "localhost.evil.com", "127.0.0.1.evil.com", ""])
      expect(await status(host)).toBe(403);
  });

  test("pages of listed origins may read, others may not", async () => {
    const { app } = appOf(servedBy(scripted()), { origins: ["https://a.example"], keys: ["k"] });
    const preflight = (origin: string) =>
      app.request("/v1/models", {
        method: "OPTIONS",
        headers: { Origin: origin, "Access-Control-Request-Method": "POST" },
      });
    expect((await preflight("https://a.example")).headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect((await preflight("https://b.example")).headers.get("access-control-allow-origin")).toBeNull();
    const plain = appOf(servedBy(scripted()));
    const response = await plain.app.request("/v1/models", { headers: { Origin: "https://a.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("/v1/models", () => {
  test("lists what there is, loaded or not, and each by its id", async () => {
    const { app, post } = appOf(servedBy(scripted(), { name: "a/b" }));
    const card = { id: "a/b", object: "model", created: 1, owned_by: "biform" };
    expect(await (await app.request("/v1/models")).json()).toEqual({
      object: "list",
      data: [{ ...card, biform: { loaded: false, bytes: 1, context: null } }],
    });
    await post("/v1/completions", { prompt: "a" });
    for (const id of ["a/b", "a%2Fb"])
      expect(await (await app.request(`/v1/models/${id}`)).json()).toEqual({
        ...card,
        max_model_len: 1000,
        biform: { loaded: true, bytes: 10, context: 1000 },
      });
    const response = await app.request("/v1/models/nope");
    expect(response.status).toBe(404);
    expect((await app.request("/v1/models/%")).status).toBe(404);
  });

  test("a path that is none is an error of OpenAI's shape", async () => {
    const { app } = appOf(servedBy(scripted()));
    const response = await app.request("/v1/nothing");
    expect(response.status).toBe(404);
    expect((await response.json()).error.code).toBe("not_found");
  });

  test("another method is told which a path has", async () => {
    const { app } = appOf(servedBy(scripted()));
    for (const method of ["GET", "PUT", "OPTIONS"]) {
      const response = await app.request("/v1/chat/completions", { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("Allow")).toBe("POST");
      expect((await response.json()).error).toMatchObject({
        message: `path: got ${method} /v1/chat/completions, expected POST`,
        code: "method_not_allowed",
      });
    }
  });
});
