import { describe, expect, test } from "vitest";
import {
  chatAnswer,
  chatChunk,
  completionAnswer,
  completionChunk,
  failure,
  modelList,
} from "../src/server/schema/answer.ts";
import { detokenizeAnswer, tokenizeAnswer, tokenizerAnswer } from "../src/server/schema/tokens.ts";
import { appOf, eventsOf, scripted, servedBy } from "./fixture/served.ts";

describe("/tokenize and /detokenize", () => {
  test("give a text's ids and back, special tokens around it where they belong", async () => {
    const { byteTokenizer } = await import("../src/tokenizer/tokenizer.ts");
    const tokenizer = { ...byteTokenizer, prompt: (text: string) => Int32Array.of(1, ...byteTokenizer.encode(text)) };
    const { post } = appOf(servedBy(scripted(), { tokenizer }));
    const ask = async (path: string, body: object) => (await post(path, body)).json();
    expect(await ask("/tokenize", { prompt: "hi" })).toEqual({
      count: 3,
      max_model_len: 1000,
      tokens: [1, 104, 105],
      token_strs: null,
    });
    expect(await ask("/tokenize", { prompt: "hi", add_special_tokens: false, return_token_strs: true })).toEqual({
      count: 2,
      max_model_len: 1000,
      tokens: [104, 105],
      token_strs: ["h", "i"],
    });
    expect(await ask("/detokenize", { tokens: [104, 105] })).toEqual({ prompt: "hi" });
    expect(await ask("/detokenize", { tokens: [] })).toEqual({ prompt: "" });
    const { tokens } = await ask("/tokenize", { messages: [{ role: "user", content: "a" }] });
    expect(await ask("/detokenize", { tokens })).toEqual({ prompt: "<user>a<assistant>" });
  });

  test("/tokenizer_info has what a client needs that cuts text by itself", async () => {
    const { app } = appOf(servedBy(scripted()));
    const info = await (await app.request("/tokenizer_info")).json();
    expect(tokenizerAnswer.parse(info)).toEqual(info);
    expect(info).toEqual({ bos_token: "<s>", eos_token: "</s>", pad_token: null, chat_template: "{{ messages }}" });
    const locked = appOf(servedBy(scripted()), { keys: ["k"] }).app;
    expect((await locked.request("/tokenizer_info")).status).toBe(401);
  });

  test.each([
    ["/tokenize", {}, "prompt"],
    ["/tokenize", { prompt: 1 }, "prompt"],
    ["/tokenize", { prompt: "a", messages: [] }, "messages"],
    ["/detokenize", { tokens: [256] }, "tokens"],
    ["/detokenize", { tokens: [-1] }, "tokens[0]"],
    ["/detokenize", { tokens: ["a"] }, "tokens[0]"],
  ])("%s %j names %s", async (path, body, param) => {
    const response = await appOf(servedBy(scripted())).post(path, body);
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe(param);
  });
});

test("/v1/embeddings is refused by its name", async () => {
  const response = await appOf(servedBy(scripted())).post("/v1/embeddings", { input: "a" });
  expect(response.status).toBe(404);
  expect((await response.json()).error).toMatchObject({
    code: "unsupported_endpoint",
    message: expect.stringContaining("/v1/embeddings"),
  });
});

describe("/metrics", () => {
  test("has answers, times of tokens and the engine's figures, each as often as it is asked", async () => {
    const engine = scripted();
    const figures = { ...engine.figures, running: 2, finished: 7, stepsUpTo: { 1: 3, 2: 4, Infinity: 5 } };
    const { app, post } = appOf(servedBy({ ...engine, figures }));
    await post("/v1/completions", { prompt: "a" });
    await post("/v1/completions", { prompt: 1 });
    await app.request("/v1/nothing/whatever");
    await app.request("/metrics");
    const response = await app.request("/metrics");
    expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
    const lines = (await response.text()).split("\n");
    for (const line of [
      'biform_http_requests_total{method="POST",path="/v1/completions",status="200"} 1',
      'biform_http_requests_total{method="POST",path="/v1/completions",status="400"} 1',
      'biform_http_requests_total{method="GET",path="other",status="404"} 1',
      'biform_first_token_seconds_sum{model="m"} 2.5',
      'biform_between_tokens_seconds_sum{model="m"} 0.8',
      'biform_model_bytes{model="m"} 10',
      "# HELP biform_engine_running Sequences that run now",
      'biform_engine_running{model="m"} 2',
      'biform_engine_healthy{model="m"} 1',
      'biform_engine_finished_total{model="m"} 7',
      'biform_engine_steps_up_to_total{model="m",part="2"} 4',
    ])
      expect(lines).toContain(line);
  });
});

describe("/openapi.json", () => {
  test("has every endpoint with the keys that its schema checks", async () => {
    const { app } = appOf(servedBy(scripted()));
    const document = await (await app.request("/openapi.json")).json();
    expect(document.openapi).toBe("3.1.0");
    const routes = app.routes.map(({ method, path }) => `${method} ${path}`);
    for (const [path, methods] of Object.entries<object>(document.paths))
      for (const method of Object.keys(methods))
        expect(routes).toContain(`${method.toUpperCase()} ${path.replace("{id}", ":id{.+}")}`);
    const { ChatRequest, CompletionRequest } = document.components.schemas;
    expect(ChatRequest.additionalProperties).toBe(false);
    expect(Object.keys(ChatRequest.properties)).toEqual(
      expect.arrayContaining(["messages", "max_completion_tokens", "min_p", "stop"]),
    );
    expect(CompletionRequest.properties.echo.description).toBeTypeOf("string");
    expect(JSON.stringify(document)).not.toContain('"$ref":"#/definitions');
  });

  test("tells what is really answered", async () => {
    const { app, post } = appOf(servedBy(scripted()));
    const chat = {
      messages: [{ role: "user", content: "a" }],
      logprobs: true,
      top_logprobs: 1,
      n: 2,
    };
    const completion = { prompt: "a", logprobs: 1, echo: true };
    const streamed = { stream: true, stream_options: { include_usage: true } };
    const json = async (path: string, body: object) => (await post(path, body)).json();
    chatAnswer.parse(await json("/v1/chat/completions", chat));
    for (const chunk of (await eventsOf(await post("/v1/chat/completions", { ...chat, ...streamed }))).data)
      chatChunk.parse(chunk);
    completionAnswer.parse(await json("/v1/completions", completion));
    for (const chunk of (await eventsOf(await post("/v1/completions", { ...completion, ...streamed }))).data)
      completionChunk.parse(chunk);
    modelList.parse(await (await app.request("/v1/models")).json());
    failure.parse(await json("/v1/completions", {}));
    tokenizeAnswer.parse(await json("/tokenize", { prompt: "a" }));
    detokenizeAnswer.parse(await json("/detokenize", { tokens: [97] }));
  });
});

describe("/health", () => {
  test("says which model's device has failed; the model is loaded anew once nobody uses it", async () => {
    let healthy = true;
    let opened = 0;
    let closed = 0;
    const engine = {
      ...scripted(),
      get figures() {
        return { healthy, cacheBytes: 0, cacheLimit: 0 };
      },
    };
    const served = servedBy(engine, { close: async () => void closed++ });
    const { app, post } = appOf(served, {}, 60, () => {
      opened++;
      healthy = true;
    });
    await post("/v1/completions", { prompt: "a" });
    expect((await app.request("/health")).status).toBe(200);
    healthy = false;
    const response = await app.request("/health");
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: "failed", models: ["m"] });
    expect((await post("/v1/completions", { prompt: "a" })).status).toBe(200);
    expect([opened, closed]).toEqual([2, 1]);
  });
});
