import { describe, expect, test } from "vitest";
import type { Constraint, Event, Request } from "../src/batch/request.ts";
import { type Constrainer, openConstrainer } from "../src/server/constrain/constrainer.ts";
import type { Form } from "../src/server/constrain/grammar.ts";
import { FormatError } from "../src/tensor/error.ts";
import type { RenderOptions } from "../src/tokenizer/template.ts";
import { byteTokenizer } from "../src/tokenizer/tokenizer.ts";
import { appOf, scripted, servedBy } from "./fixture/served.ts";

const BEGIN = 1;
const source = "<tool_call> </tool_call> <think> </think>";
const tokenizer = {
  ...byteTokenizer,
  special: new Set([BEGIN]),
  id: (name: string) => (name === "<tool_call>" ? BEGIN : undefined),
};

/** A server whose constraints do nothing but tell what was asked of them. */
function start({ prompt = "", refuses }: { prompt?: string; refuses?: FormatError } = {}) {
  const forms: { form: Form; marks?: ReadonlySet<number> | undefined; after?: string | undefined }[] = [];
  const made: { accepted: number[]; masked: number; freed: number }[] = [];
  const constrainer: Constrainer = {
    async constrain(form, options = {}) {
      if (refuses) throw refuses;
      forms.push({ form, ...options });
      const state = { accepted: [] as number[], masked: 0, freed: 0 };
      made.push(state);
      return {
        mask: () => void state.masked++,
        accept: (id) => void state.accepted.push(id),
        free: () => void state.freed++,
      };
    },
    close() {},
  };
  const engine = scripted();
  const template = {
    source,
    render: async (messages: readonly object[], options: RenderOptions = {}) =>
      JSON.stringify({ messages, ...options }) + prompt,
    close() {},
  };
  const { post } = appOf(servedBy(engine, { template, tokenizer, constrainer: async () => constrainer }));
  const chat = (more: object) => post("/v1/chat/completions", { messages: [{ role: "user", content: "hi" }], ...more });
  return { forms, made, engine, chat, respond: (more: object) => post("/v1/responses", { input: "hi", ...more }) };
}

const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false };
const format = { response_format: { type: "json_schema", json_schema: { name: "x", schema, strict: true } } };
const tool = (name: string, strict?: boolean) => ({
  type: "function",
  function: { name, parameters: schema, ...(strict === undefined ? {} : { strict }) },
});
const calls = (tools: object[], many = true) => ({ kind: "calls", tools, template: source, many });

describe("the form of answers", () => {
  test.each([
    [{ response_format: { type: "text" } }, undefined],
    [{ response_format: { type: "json_object" } }, { kind: "object" }],
    [format, { kind: "schema", schema }],
    [{ structured_outputs: { json: schema } }, { kind: "schema", schema }],
    [{ structured_outputs: { regex: "a+" } }, { kind: "regex", pattern: "a+" }],
    [{ structured_outputs: { choice: ["a.b", "c"] } }, { kind: "regex", pattern: "a\\.b|c" }],
    [{ structured_outputs: { grammar: 'root ::= "a"' } }, { kind: "grammar", grammar: 'root ::= "a"' }],
    [{ tools: [tool("f"), tool("g")], tool_choice: "auto" }, undefined],
    [{ tools: [tool("f")], tool_choice: "required" }, calls([{ name: "f", parameters: schema }])],
    [
      {
        tools: [tool("f"), tool("g")],
        tool_choice: { type: "function", function: { name: "g" } },
        parallel_tool_calls: false,
      },
      calls([{ name: "g", parameters: schema }], false),
    ],
    [
      { tools: [tool("f", true), tool("g")] },
      calls([
        { name: "f", parameters: schema },
        { name: "g", parameters: { type: "object" } },
      ]),
    ],
  ])("%j", async (more, form) => {
    const { chat, forms, engine } = start();
    expect((await chat(more)).status).toBe(200);
    expect(forms.map((one) => one.form)).toEqual(form ? [form] : []);
    expect(engine.asked[0]!.constraint === undefined).toBe(form === undefined);
  });

  test("of responses is that of chat", async () => {
    const { respond, forms } = start();
    await respond({ text: { format: { type: "json_schema", name: "x", schema } } });
    await respond({ tools: [{ type: "function", name: "f", parameters: schema }], tool_choice: "required" });
    expect(forms.map(({ form }) => form)).toEqual([
      { kind: "schema", schema },
      calls([{ name: "f", parameters: schema, type: undefined }].map(({ type: _, ...one }) => one)),
    ]);
  });

  test("each answer has a constraint of its own, freed once", async () => {
    const { chat, made, engine } = start();
    await chat({ ...format, n: 3 });
    expect(made.map(({ freed }) => freed)).toEqual([1, 1, 1]);
    expect(new Set(engine.asked.map(({ constraint }) => constraint)).size).toBe(3);
    // A step that is still at work finds it open: nothing reaches what was freed.
    engine.asked[0]!.constraint!.mask(new Float32Array(1));
    engine.asked[0]!.constraint!.accept(5);
    expect(made[0]).toMatchObject({ masked: 0, accepted: [] });
  });

  test("holds once thoughts are closed that the prompt has begun, and at once where it has not", async () => {
    const open = start({ prompt: "<think>\n" });
    await open.chat(format);
    expect(open.forms[0]!.after).toBe("</think>");
    const closed = start();
    await closed.chat(format);
    expect(closed.forms[0]!.after).toBeUndefined();
  });

  test("of strict tools holds from the token on that begins a call", async () => {
    const { chat, engine, made, forms } = start();
    // Before the request has ended, so that it is not freed.
    let seen: Constraint | undefined;
    const submit = engine.submit.bind(engine);
    Object.assign(engine, {
      submit: (request: Request) => {
        seen = request.constraint;
        for (const id of [50, BEGIN, 51]) {
          seen!.mask(new Float32Array(1));
          seen!.accept(id);
        }
        return submit(request);
      },
    });
    await chat({ tools: [tool("f", true)] });
    expect(made[0]).toMatchObject({ accepted: [BEGIN, 51], masked: 1 });
    expect(forms[0]!.marks).toEqual(new Set([BEGIN]));
  });

  test.each([
    [{ ...format, structured_outputs: { regex: "a" } }, "structured_outputs"],
    [{ ...format, tools: [tool("f")], tool_choice: "required" }, "tool_choice"],
    [{ ...format, ignore_eos: true }, "ignore_eos"],
    [{ structured_outputs: { regex: "a", grammar: "b" } }, "structured_outputs"],
    [{ structured_outputs: {} }, "structured_outputs"],
    [{ response_format: { type: "xml" } }, "response_format.type"],
    [{ structured_outputs: { regex: "a".repeat(100_001) } }, "structured_outputs.regex"],
  ])("%j is refused", async (more, param) => {
    const { chat, engine } = start();
    const response = await chat(more);
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe(param);
    expect(engine.asked).toEqual([]);
  });

  test("that cannot be heeded is refused by its parameter", async () => {
    const { chat } = start({ refuses: new FormatError("json_schema: got the format x, expected date") });
    const response = await chat(format);
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({
      param: "response_format",
      message: expect.stringContaining("format x"),
    });
  });
});

test("a model that would write anything writes what the schema allows, to its end", async () => {
  const END = 0;
  const plain = { ...byteTokenizer };
  const constrainer = await openConstrainer({ tokenizer: plain, vocabulary: 256, end: new Set([END]) });
  // Of what may follow it takes the highest byte, which would be no JSON.
  async function* submit({ ids, constraint, end }: Request): AsyncGenerator<Event, void, undefined> {
    yield { kind: "prompt", cached: 0 };
    let written = 0;
    for (let id = -1; !end!.has(id) && written < 200; written++) {
      const logits = Float32Array.from({ length: 256 }, (_, at) => at);
      constraint?.mask(logits);
      id = logits.indexOf(Math.max(...logits));
      constraint?.accept(id);
      yield { kind: "token", id, text: end!.has(id) ? "" : String.fromCharCode(id) };
    }
    const usage = { prompt: ids.length, cached: 0, written, waited: 0, first: 1, writing: 1, bytes: 1, forms: {} };
    yield { kind: "end", finish: "end", usage };
  }
  try {
    const template = { source: "", render: async () => "x", close() {} };
    const engine = { ...scripted(), submit };
    const served = servedBy(engine, {
      tokenizer: plain,
      template,
      end: new Set([END]),
      constrainer: async () => constrainer,
    });
    const { post } = appOf(served);
    const ask = async (more: object) =>
      (await (await post("/v1/chat/completions", { messages: [{ role: "user", content: "hi" }], ...more })).json())
        .choices[0].message.content;
    const answer = JSON.parse(
      await ask({
        response_format: {
          type: "json_schema",
          json_schema: {
            schema: {
              type: "object",
              properties: { a: { enum: ["x", "y"] }, b: { type: "boolean" } },
              required: ["a", "b"],
              additionalProperties: false,
            },
          },
        },
      }),
    );
    expect(Object.keys(answer)).toEqual(["a", "b"]);
    expect(["x", "y"]).toContain(answer.a);
    expect(typeof answer.b).toBe("boolean");
    expect(["yes", "no"]).toContain(await ask({ structured_outputs: { choice: ["yes", "no"] } }));
    expect(await ask({ max_tokens: 3 })).not.toMatch(/^[ -~]*$/);
  } finally {
    constrainer.close();
  }
});
