import { describe, expect, test } from "vitest";
import type { RenderOptions, Template } from "../src/tokenizer/template.ts";
import { appOf, eventsOf, type Script, scripted, servedBy } from "./fixture/served.ts";

const template: Template = {
  source: "<tool_call> <think> </think> enable_thinking",
  render: async (messages, options: RenderOptions = {}) => JSON.stringify({ messages, ...options }),
  close() {},
};

function start(script: Script = {}) {
  const engine = scripted(script);
  const { post, told } = appOf(servedBy(engine, { template }));
  const ask = (body: object) => post("/v1/responses", body);
  const prompt = () => JSON.parse(new TextDecoder().decode(Uint8Array.from(engine.asked[0]!.ids)));
  return { engine, ask, prompt, told };
}

const tool = { type: "function", name: "weather", parameters: { type: "object" } };
const call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>';
const message = (text: string, status = "completed", logprobs: object[] = []) => ({
  id: expect.stringMatching(/^msg_/),
  type: "message",
  status,
  role: "assistant",
  content: [{ type: "output_text", text, annotations: [], logprobs }],
});

describe("/v1/responses", () => {
  test("answers in the shape of OpenAI's Responses API", async () => {
    const { ask } = start();
    const response = await ask({ model: "m", input: "hi", instructions: "Be brief.", metadata: { a: "b" } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      id: expect.stringMatching(/^resp_/),
      object: "response",
      status: "completed",
      model: "m",
      error: null,
      incomplete_details: null,
      instructions: "Be brief.",
      output: [message("Hello!")],
      parallel_tool_calls: true,
      previous_response_id: null,
      store: false,
      temperature: 1,
      top_p: 1,
      text: { format: { type: "text" } },
      tool_choice: "auto",
      tools: [],
      truncation: "disabled",
      metadata: { a: "b" },
      usage: {
        input_tokens: expect.any(Number),
        input_tokens_details: { cached_tokens: 1 },
        output_tokens: 6,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: expect.any(Number),
      },
      biform: { tokens_per_second: 1.25 },
    });
  });

  test("streams events in their order, each numbered and under its name", async () => {
    const { ask } = start({ text: "Hi" });
    const { data, names, done } = await eventsOf(await ask({ input: "hi", stream: true }));
    expect(data.map(({ type }) => type)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(names.slice(0, -1)).toEqual(data.map(({ type }) => type));
    expect(data.map(({ sequence_number }) => sequence_number)).toEqual(data.map((_, i) => i));
    expect(done).toBe(true);
    const [created, , added, part, first, , text, , item, completed] = data;
    expect(created.response).toMatchObject({ status: "in_progress", output: [], usage: null });
    expect(added).toMatchObject({ output_index: 0, item: { type: "message", status: "in_progress", content: [] } });
    expect(part).toMatchObject({ item_id: added.item.id, content_index: 0, part: { type: "output_text", text: "" } });
    expect(first).toMatchObject({ item_id: added.item.id, output_index: 0, content_index: 0, delta: "H" });
    expect(text.text).toBe("Hi");
    expect(item.item).toEqual(message("Hi"));
    expect(completed.response).toMatchObject({ id: created.response.id, status: "completed", output: [item.item] });
  });

  test("thoughts, text and calls are items, streamed and whole alike", async () => {
    const { ask, prompt } = start({ text: `<think>hm</think>Let me see.${call}` });
    const body = { input: "hi", tools: [tool] };
    const { output, usage } = await (await ask(body)).json();
    expect(prompt().tools).toEqual([
      { type: "function", function: { name: "weather", parameters: { type: "object" } } },
    ]);
    const expected = [
      {
        id: expect.stringMatching(/^rs_/),
        type: "reasoning",
        status: "completed",
        summary: [],
        content: [{ type: "reasoning_text", text: "hm" }],
      },
      message("Let me see."),
      {
        id: expect.stringMatching(/^fc_/),
        type: "function_call",
        status: "completed",
        call_id: expect.stringMatching(/^call_/),
        name: "weather",
        arguments: '{"city": "Oslo"}',
      },
    ];
    expect(output).toEqual(expected);
    // Up to the last of the thoughts, a byte each.
    expect(usage.output_tokens_details.reasoning_tokens).toBe("<think>hm".length);
    const { data } = await eventsOf(await ask({ ...body, stream: true }));
    expect(data.at(-1).response.output).toEqual(expected);
    const done = data.filter(({ type }) => type === "response.output_item.done");
    expect(done.map(({ output_index, item }) => [output_index, item])).toEqual(expected.map((item, i) => [i, item]));
    const kinds = new Set(data.map(({ type }) => type));
    for (const kind of [
      "reasoning_text.delta",
      "reasoning_text.done",
      "function_call_arguments.delta",
      "function_call_arguments.done",
    ])
      expect(kinds).toContain(`response.${kind}`);
    // What was added is what grew and what was done.
    for (const { type, item_id, output_index } of data.filter((event) => event.item_id))
      expect(item_id, type).toBe(data.at(-1).response.output[output_index].id);
  });

  test("an answer that is cut is incomplete, with the reason", async () => {
    const { ask } = start({ text: "Hello" });
    const { status, incomplete_details, output } = await (await ask({ input: "hi", max_output_tokens: 2 })).json();
    expect([status, incomplete_details]).toEqual(["incomplete", { reason: "max_output_tokens" }]);
    expect(output).toEqual([message("He", "incomplete")]);
    const { data } = await eventsOf(await ask({ input: "hi", max_output_tokens: 2, stream: true }));
    expect(data.at(-1).type).toBe("response.incomplete");
  });

  test("log probabilities of text, where they are included", async () => {
    const { ask } = start({ text: "a" });
    const body = { input: "hi", include: ["message.output_text.logprobs"], top_logprobs: 1 };
    const score = { token: "a", logprob: -1, bytes: [97] };
    const { output } = await (await ask(body)).json();
    expect(output).toEqual([message("a", "completed", [{ ...score, top_logprobs: [score] }])]);
  });

  test("a conversation of items is one of messages: what was thought, said and called in a row is one of them", async () => {
    const { ask, prompt } = start();
    const input = [
      { role: "user", content: [{ type: "input_text", text: "Rain?" }] },
      { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
      {
        type: "message",
        id: "msg_1",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "See.", annotations: [] }],
      },
      {
        type: "function_call",
        id: "fc_1",
        call_id: "c1",
        name: "weather",
        arguments: '{"city":"Oslo"}',
        status: "completed",
      },
      { type: "reasoning", summary: [{ type: "summary_text", text: "so" }] },
      { type: "function_call", call_id: "c2", name: "weather", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "yes" },
      { type: "function_call_output", call_id: "c2", output: [{ type: "input_text", text: "no" }] },
      { role: "developer", content: "Be brief." },
    ];
    expect((await ask({ input, instructions: "Help." })).status).toBe(200);
    const made = (id: string, city: object) => ({
      id,
      type: "function",
      function: { name: "weather", arguments: city },
    });
    expect(prompt().messages).toEqual([
      { role: "system", content: "Help." },
      { role: "user", content: "Rain?" },
      {
        role: "assistant",
        content: "See.",
        reasoning_content: "hm\nso",
        thinking: "hm\nso",
        tool_calls: [made("c1", { city: "Oslo" }), made("c2", {})],
      },
      { role: "tool", content: "yes", tool_call_id: "c1" },
      { role: "tool", content: "no", tool_call_id: "c2" },
      { role: "system", content: "Be brief." },
    ]);
  });

  test("a failure midway is the response's, one before it has a status", async () => {
    const { ask, told } = start({ breaks: new Error("secret") });
    const { data, done } = await eventsOf(await ask({ input: "hi", stream: true }));
    expect(data.at(-1)).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { code: "server_error" } },
    });
    expect(data.map(({ sequence_number }) => sequence_number)).toEqual(data.map((_, i) => i));
    expect(JSON.stringify(data)).not.toContain("secret");
    expect([done, told.length]).toEqual([true, 1]);
    expect((await ask({ input: "hi" })).status).toBe(500);
  });

  test.each([
    [{ previous_response_id: "resp_1" }, "previous_response_id"],
    [{ conversation: "c" }, "conversation"],
    [{ store: true }, "store"],
    [{ background: true }, "background"],
    [{ truncation: "auto" }, "truncation"],
    [{ max_tool_calls: 1 }, "max_tool_calls"],
    [{ n: 2 }, "n"],
    [{ include: ["file_search_call.results"] }, "include[0]"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
    [{ tools: [tool, tool] }, "tools"],
    [{ tools: [tool], tool_choice: { type: "function", name: "x" } }, "tool_choice"],
    [{ reasoning: { summary: "auto" } }, "reasoning.summary"],
    [{ input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }, "input[0].content[0].type"],
    [{ input: [{ type: "item_reference", id: "x" }] }, "input[0].type"],
    [{ input: [{ role: "tool", content: "x" }] }, "input[0].role"],
    [{ input: [] }, "input"],
    [{ input: undefined }, "input"],
    [{ messages: [] }, "messages"],
    [{ input: [{ type: "function_call", call_id: "c", name: "f", arguments: "x" }] }, "input"],
    [{ text: { format: { type: "json_object" } } }, "text.format"],
  ])("%j is refused by its name", async (more, param) => {
    const { ask, engine } = start();
    const response = await ask({ input: "hi", ...more });
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toMatchObject({ param, message: expect.stringContaining(param) });
    expect(engine.asked).toEqual([]);
  });

  test("an effort that no template reads is refused by its name here", async () => {
    const { post } = appOf(servedBy(scripted()));
    const response = await post("/v1/responses", { input: "hi", reasoning: { effort: "high" } });
    expect((await response.json()).error.param).toBe("reasoning.effort");
  });
});
