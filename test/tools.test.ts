import { describe, expect, test } from "vitest";
import { chatAnswer, chatChunk } from "../src/server/schema/answer.ts";
import { writeExact } from "../src/tokenizer/jinja/exact.ts";
import type { RenderOptions, Template } from "../src/tokenizer/template.ts";
import { appOf, eventsOf, type Script, scripted, servedBy } from "./fixture/served.ts";

/** A template that writes all it is given as JSON, of a source with these marks. */
function template(source: string, write = (given: object) => JSON.stringify(given)): Template {
  return {
    source,
    render: async (messages, options: RenderOptions = {}) => write({ messages, ...options }),
    close() {},
  };
}

const hermes = template("<tool_call> <think> </think> enable_thinking tools");
const parameters = { type: "object", properties: { city: { type: "string" } } };
const weather = { type: "function", function: { name: "weather", description: "of a city", parameters } };
const ask = { messages: [{ role: "user", content: "hi" }] };
const call = (city: string) => `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;

function start(script: Script, of: Template = hermes) {
  const engine = scripted(script);
  const { post, told } = appOf(servedBy(engine, { template: of }));
  const chat = (more: object) => post("/v1/chat/completions", { ...ask, ...more });
  const prompt = (i = 0) => JSON.parse(new TextDecoder().decode(Uint8Array.from(engine.asked[i]!.ids)));
  return { engine, post, chat, prompt, told };
}

describe("tools", () => {
  test("stand in the prompt, and calls in the answer", async () => {
    const { chat, prompt } = start({ text: `Let me see. ${call("Oslo")}${call("Rome")}` });
    const response = await chat({ tools: [weather] });
    const answer = chatAnswer.parse(await response.json());
    expect(prompt().tools).toEqual([weather]);
    const expected = (city: string) => ({
      id: expect.stringMatching(/^call_[0-9a-f]{32}$/),
      type: "function",
      function: { name: "weather", arguments: `{"city": "${city}"}` },
    });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: "Let me see.", tool_calls: [expected("Oslo"), expected("Rome")] },
    });
  });

  test("reach the template with numbers as they were written, and so do its values", async () => {
    const { engine, post } = start({}, template(hermes.source ?? "", writeExact));
    const schema = '{"type":"object","properties":{"x":{"type":"number","minimum":1.0,"maximum":9007199254740993}}}';
    const tool = `{"type":"function","function":{"name":"f","parameters":${schema}}}`;
    const kwargs = '"chat_template_kwargs":{"enable_thinking":2.0}';
    const messages = '"messages":[{"role":"user","content":"hi"}]';
    const prompt = (i: number) => new TextDecoder().decode(Uint8Array.from(engine.asked[i]!.ids));
    expect((await post("/v1/chat/completions", `{${messages},${kwargs},"tools":[${tool}]}`)).status).toBe(200);
    const flat = `{"type":"function","name":"f","parameters":${schema}}`;
    const response = await post("/v1/responses", `{"input":"hi",${kwargs},"tools":[${flat}]}`);
    expect((await response.json()).tools[0].parameters.properties.x.minimum).toBe(1);
    for (const i of [0, 1]) {
      expect(prompt(i)).toContain(schema);
      expect(prompt(i)).toContain('"enable_thinking":2.0');
    }
  });

  test("whose schema's values have points give bare values their types", async () => {
    const text = "<tool_call>f\n<arg_key>x</arg_key>\n<arg_value>1.5</arg_value>\n</tool_call>";
    const { post } = start({ text }, template("<arg_key>", writeExact));
    const schema = '{"type":"object","properties":{"x":{"enum":[1.5,"auto"]}}}';
    const tool = `{"type":"function","function":{"name":"f","parameters":${schema}}}`;
    const body = `{"messages":[{"role":"user","content":"hi"}],"tools":[${tool}]}`;
    const answer = await (await post("/v1/chat/completions", body)).json();
    expect(answer.choices[0].message.tool_calls[0].function.arguments).toBe('{"x": 1.5}');
  });

  test("stream as calls with their places, and content is null where there are calls alone", async () => {
    const { chat } = start({ text: call("Oslo") });
    const { data } = await eventsOf(await chat({ tools: [weather], stream: true }));
    for (const chunk of data) chatChunk.parse(chunk);
    expect(data[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
    const calls = data.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    expect(calls).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^call_/),
        type: "function",
        function: { name: "weather", arguments: '{"city": "Oslo"}' },
      },
    ]);
    expect(data.at(-1).choices[0].finish_reason).toBe("tool_calls");
    const whole = await (await chat({ tools: [weather] })).json();
    expect(whole.choices[0].message.content).toBeNull();
  });

  test("are called once at most without parallel_tool_calls", async () => {
    const { chat } = start({ text: `${call("Oslo")}${call("Rome")} and so on` });
    const { message } = (await (await chat({ tools: [weather], parallel_tool_calls: false })).json()).choices[0];
    expect(message.tool_calls).toHaveLength(1);
    expect(message.content).toBeNull();
  });

  test("with tool_choice none, as without tools, marks of calls are text", async () => {
    const { chat, prompt } = start({ text: call("Oslo") });
    const { choices } = await (await chat({ tools: [weather], tool_choice: "none" })).json();
    expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: call("Oslo") } });
    expect(prompt()).toHaveProperty("tools", null);
  });

  test("an answer that is cut ends by its length, calls or not", async () => {
    const { chat } = start({ text: `${call("Oslo")} more` });
    const { choices } = await (await chat({ tools: [weather], max_tokens: call("Oslo").length + 2 })).json();
    expect(choices[0].finish_reason).toBe("length");
    expect(choices[0].message.tool_calls).toHaveLength(1);
  });

  test.each([
    ["tools of another type", { tools: [{ type: "web_search" }] }, "tools[0].type"],
    ["names that are one", { tools: [weather, weather] }, "tools"],
    ["a name with blanks", { tools: [{ ...weather, function: { name: "a b" } }] }, "tools[0].function.name"],
    [
      "a choice that is none of them",
      { tools: [weather], tool_choice: { type: "function", function: { name: "x" } } },
      "tool_choice",
    ],
    ["a choice without tools", { tool_choice: "required" }, "tool_choice"],
    [
      "more than 128",
      { tools: Array.from({ length: 129 }, (_, i) => ({ type: "function", function: { name: `f${i}` } })) },
      "tools",
    ],
  ])("%s are refused", async (_, more, param) => {
    const { chat, engine } = start({});
    const response = await chat(more);
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe(param);
    expect(engine.asked).toEqual([]);
  });

  test("are refused for a template that does not say how it calls them", async () => {
    const response = await start({}, template("{{ messages }}")).chat({ tools: [weather] });
    expect((await response.json()).error.param).toBe("tools");
  });

  test("are refused for a template that knows calls and writes no tools into a prompt", async () => {
    const { chat, engine } = start(
      {},
      template("<tool_call>", (given) => JSON.stringify({ ...given, tools: [] })),
    );
    const response = await chat({ tools: [weather] });
    expect(response.status).toBe(400);
    const { param, message } = (await response.json()).error;
    expect([param, message]).toEqual(["tools", expect.stringMatching(/^tools: got weather for .*writes no tools/)]);
    expect(engine.asked).toEqual([]);
  });
});

describe("calls that were made", () => {
  const made = {
    messages: [
      { role: "user", content: "hi" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } }],
      },
      { role: "tool", tool_call_id: "c1", content: "rain" },
    ],
  };

  test("stand in the prompt with their arguments as an object", async () => {
    const { chat, prompt } = start({});
    expect((await chat(made)).status).toBe(200);
    expect(prompt().messages[1]).toEqual({
      role: "assistant",
      tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: { city: "Oslo" } } }],
    });
    expect(prompt().messages[2]).toEqual({ role: "tool", tool_call_id: "c1", content: "rain" });
  });

  test("or as text, for a template that joins them to other text", async () => {
    const joins = template("<tool_call>", (given) => {
      const text = JSON.stringify(given);
      if (text.includes('"needle":"x"')) throw new Error("can only concatenate str");
      return text;
    });
    const { chat, prompt } = start({}, joins);
    await chat(made);
    expect(prompt().messages[1].tool_calls[0].function.arguments).toBe('{"city":"Oslo"}');
  });

  test("are refused where their arguments are no object", async () => {
    for (const text of ["[1]", "{", '"x"']) {
      const broken = structuredClone(made);
      broken.messages[1]!.tool_calls![0]!.function.arguments = text;
      const response = await start({}).chat(broken);
      expect(response.status).toBe(400);
      expect((await response.json()).error.param).toBe("messages[1].tool_calls[0].function.arguments");
    }
  });
});

describe("thoughts", () => {
  test("stand apart from the answer, streamed or not", async () => {
    const { chat } = start({ text: "<think>\nhm, 1 + 1\n</think>\n\nIt is 2." });
    const { message } = (await (await chat({})).json()).choices[0];
    expect(message).toEqual({ role: "assistant", content: "It is 2.", reasoning_content: "hm, 1 + 1", refusal: null });
    const { data } = await eventsOf(await chat({ stream: true }));
    const deltas = data.map((chunk) => chunk.choices[0].delta);
    expect(deltas.map(({ reasoning_content: text = "" }) => text).join("")).toBe("hm, 1 + 1");
    expect(deltas.map(({ content = "" }) => content).join("")).toBe("It is 2.");
  });

  test("that the prompt has begun have no mark of their own in the answer", async () => {
    const opens = template("<think> </think>", () => "<assistant><think>\n");
    const { chat } = start({ text: "hm</think>2" }, opens);
    const { message } = (await (await chat({})).json()).choices[0];
    expect(message).toMatchObject({ reasoning_content: "hm", content: "2" });
  });

  test("are turned on and off by what the template reads", async () => {
    const { chat, prompt, engine } = start({});
    await chat({ chat_template_kwargs: { enable_thinking: false } });
    await chat({ reasoning_effort: "none" });
    await chat({ reasoning_effort: "high" });
    expect(engine.asked.map((_, i) => prompt(i).values)).toEqual([
      { enable_thinking: false },
      { enable_thinking: false },
      { enable_thinking: true },
    ]);
    const knows = start({}, template("{{ reasoning_effort }}"));
    await knows.chat({ reasoning_effort: "low" });
    expect(knows.prompt().values).toEqual({ reasoning_effort: "low" });
  });

  test("a value that the template does not read is refused: it would change nothing", async () => {
    for (const [more, param] of [
      [{ chat_template_kwargs: { thinking_budget: 1 } }, "chat_template_kwargs.thinking_budget"],
      [{ chat_template_kwargs: { messages: [] } }, "chat_template_kwargs.messages"],
      [{ chat_template_kwargs: { "a[": 1 } }, "chat_template_kwargs.a["],
    ] as const) {
      const response = await start({}).chat(more);
      expect(response.status).toBe(400);
      expect((await response.json()).error.param).toBe(param);
    }
    const response = await start({}, template("{{ messages }}")).chat({ reasoning_effort: "low" });
    expect((await response.json()).error.param).toBe("reasoning_effort");
  });
});
