import type { z } from "zod";
import { chatAnswer, chatChunk, completionAnswer, completionChunk, failure } from "../../src/server/schema/answer.ts";
import { responseAnswer, responseEvent } from "../../src/server/schema/response.ts";
import { detokenizeAnswer, tokenizeAnswer } from "../../src/server/schema/tokens.ts";
import { FormatError } from "../../src/tensor/error.ts";
import type { Random } from "../../src/tensor/random.ts";
import { appOf, eventsOf, scripted, servedBy } from "../fixture/served.ts";
import { copyOf, spoilt } from "./mutate.ts";
import type { Target } from "./target.ts";

type Json = Record<string, unknown>;

const tool = {
  type: "function",
  function: { name: "f", description: "d", parameters: { type: "object", properties: {} }, strict: false },
};
const call = { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
const drawn = {
  temperature: 0.5,
  top_p: 0.9,
  top_k: 3,
  min_p: 0.1,
  repetition_penalty: 1.1,
  presence_penalty: 1,
  frequency_penalty: -1,
  logit_bias: { "5": 3 },
  seed: 7,
  stop: ["x", "yz"],
  stop_token_ids: [3],
  ignore_eos: true,
  skip_special_tokens: false,
  cache_salt: "s",
  user: "u",
  metadata: { a: "b" },
  store: false,
  service_tier: "auto",
};

/** Each endpoint with bodies that it takes, and what it answers. */
const endpoints: readonly { path: string; bodies: readonly Json[]; answer?: z.ZodType; event?: z.ZodType }[] = [
  {
    path: "/v1/chat/completions",
    bodies: [
      { model: "m", messages: [{ role: "user", content: "hi" }] },
      {
        messages: [{ role: "user", content: [{ type: "text", text: "a" }] }],
        ...drawn,
        n: 2,
        logprobs: true,
        top_logprobs: 2,
      },
      {
        messages: [
          { role: "system", content: "s", name: "n" },
          { role: "assistant", content: null, reasoning_content: "r", tool_calls: [call] },
          { role: "tool", tool_call_id: "c1", content: "out" },
        ],
        tools: [tool],
        tool_choice: "auto",
        parallel_tool_calls: false,
        reasoning_effort: "low",
        chat_template_kwargs: { enable_thinking: true },
        stream: true,
        stream_options: { include_usage: true },
        max_completion_tokens: 20,
        response_format: { type: "text" },
      },
    ],
    answer: chatAnswer,
    event: chatChunk,
  },
  {
    path: "/v1/completions",
    bodies: [
      { model: "m", prompt: "hi", max_tokens: 3 },
      { prompt: [[1, 2], [3]], echo: true, logprobs: 1, max_tokens: 0, ...drawn },
      { prompt: ["a", "bc"], n: 2, stream: true, stream_options: { include_usage: true }, add_special_tokens: false },
    ],
    answer: completionAnswer,
    event: completionChunk,
  },
  {
    path: "/v1/responses",
    bodies: [
      { input: "hi", instructions: "be", max_output_tokens: 5, ...drawn },
      {
        input: [
          { role: "user", content: [{ type: "input_text", text: "a" }] },
          { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "r" }] },
          { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
          { type: "function_call_output", call_id: "c", output: "o" },
        ],
        tools: [{ type: "function", name: "f", parameters: {} }],
        tool_choice: "auto",
        text: { format: { type: "text" } },
        reasoning: { effort: "low" },
        include: ["message.output_text.logprobs"],
        top_logprobs: 1,
        stream: true,
      },
    ],
    answer: responseAnswer,
    event: responseEvent,
  },
  {
    path: "/tokenize",
    bodies: [
      { prompt: "hi", add_special_tokens: true, return_token_strs: true },
      { messages: [{ role: "user", content: "a" }] },
    ],
    answer: tokenizeAnswer,
  },
  { path: "/detokenize", bodies: [{ tokens: [104, 105] }], answer: detokenizeAnswer },
];

const all = endpoints.flatMap(({ bodies }) => bodies);
const strange: readonly unknown[] = [
  ...[0, 1, -1, 0.5, 17, 255, 256, 1e5, 2 ** 31, 2 ** 53, 1e300, -0],
  ...["", "a", "\ud800", "\u0000", "<tool_call>", "x".repeat(300), "none", "required", "text"],
  ...[
    true,
    false,
    null,
    [],
    [0],
    [[]],
    ["a", 1],
    [[1], "a"],
    {},
    { a: 1 },
    { type: "text" },
    { __proto__: null, constructor: 1 },
  ],
  ...[Array(300).fill("a"), Array(300).fill(1), { type: "image_url", image_url: { url: "data:," } }],
];

/** Every object and list in a value, itself first. */
function partsOf(value: unknown): (Json | unknown[])[] {
  if (typeof value !== "object" || value === null) return [];
  return [value as Json, ...Object.values(value).flatMap(partsOf)];
}

/** One thing of a body changed: missing, another's, strange, deep, or nobody's. */
function harm(random: Random, body: Json): void {
  const part = random.pick(partsOf(body)) as Json;
  const keys = Object.keys(part);
  const key = keys.length ? random.pick(keys) : "a";
  const other = random.pick(all);
  const foreign = random.pick(Object.keys(other));
  switch (random.integer(6)) {
    case 0:
      delete part[key];
      return;
    case 1:
      body[foreign] = copyOf(other[foreign]);
      return;
    case 2:
      part[random.pick(["best_of", "__proto__", "toString", "", "x", foreign])] = copyOf(random.pick(strange));
      return;
    case 3: {
      let deep: unknown = part[key];
      for (let depth = random.integer(150); depth > 0; depth--) deep = random.integer(2) ? [deep] : { a: deep };
      part[key] = deep;
      return;
    }
    default:
      part[key] = copyOf(random.pick(strange));
  }
}

const template = {
  source: "<tool_call> <think> </think> enable_thinking",
  render: async (messages: readonly object[], options: object = {}) =>
    JSON.stringify({ messages, ...options }, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
  close() {},
};
const text = '<think>hm</think>so <tool_call>{"name": "f", "arguments": {}}</tool_call>';
const server = appOf(servedBy(scripted({ text }), { template, context: 100_000 }), { bodyBytes: 20_000 });

/** Bodies of requests, by the schemas and hurt: whatever comes is answered as the schemas say, or refused by name, and never with 500. */
export const request: Target = {
  make(random) {
    const at = random.integer(endpoints.length);
    const body = copyOf(random.pick(endpoints[at]!.bodies));
    for (let n = random.integer(3); n > 0; n--) harm(random, body);
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    const hurt = random.integer(12) ? bytes : spoilt(random, bytes);
    const all = new Uint8Array(1 + hurt.length);
    all[0] = at;
    all.set(hurt, 1);
    return all;
  },
  async read(bytes) {
    const { path, answer, event } = endpoints[bytes[0]!]!;
    const headers = { "Content-Type": "application/json" };
    const response = await server.app.request(path, { method: "POST", headers, body: bytes.slice(1) });
    if (server.told.length) throw server.told[0];
    if (response.status === 200 && /^text\/event-stream/.test(response.headers.get("content-type") ?? "")) {
      const { data, done } = await eventsOf(response);
      if (!done) throw new Error(`a stream's promise is broken: ${JSON.stringify(data.at(-1))}`);
      for (const one of data) event?.parse(one);
    } else {
      const found: unknown = await response.json();
      if (response.status === 200) answer?.parse(found);
      else {
        const { error } = failure.parse(found);
        if (response.status >= 500)
          throw new Error(`a server's promise is broken: ${response.status}: ${error.message}`);
        throw new FormatError(`fuzzed: ${error.message}`);
      }
    }
  },
};
