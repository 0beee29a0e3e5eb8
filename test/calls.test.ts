import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { familyOf } from "../src/server/parse/family.ts";
import { parserFor } from "../src/server/parse/parser.ts";

// Calls of tools as the models' own templates write them (interop/calls.ts), read back.

interface Written {
  readonly tools: readonly { readonly function: { readonly name: string; readonly parameters: unknown } }[];
  readonly texts: readonly {
    readonly name: string;
    /** What of the template the parsers look at. */
    readonly template: string;
    readonly turns: readonly {
      readonly calls: readonly object[];
      readonly content: string;
      readonly text: string;
      readonly thinking: "open" | "closed";
    }[];
  }[];
}

const { tools, texts }: Written = JSON.parse(readFileSync(join(import.meta.dirname, "fixture", "calls.json"), "utf8"));
const schemas = new Map(tools.map(({ function: { name, parameters } }) => [name, parameters]));

function read(template: string, pieces: readonly string[], thinking: "open" | "closed" = "closed") {
  const parser = parserFor(template, { tools: true, thinking, schemas });
  const deltas = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  return {
    content: deltas.map(({ content = "" }) => content).join(""),
    calls: deltas.flatMap(({ call }) => (call ? [{ name: call.name, arguments: JSON.parse(call.arguments) }] : [])),
    ids: deltas.flatMap(({ call }) => (call ? [call.id] : [])),
  };
}

describe("what a template writes of calls is what was called", () => {
  test.each(texts.map(({ name, ...text }) => [name, text] as const))("%s", (_, { template, turns }) => {
    expect(turns.length).toBeGreaterThan(2);
    for (const { text, thinking, calls, content } of turns)
      for (const pieces of [[text], [...text], text.split(/(?<=[<>"[])/)]) {
        const said = read(template, pieces, thinking);
        expect([text, said.calls, said.content.trim()]).toEqual([text, calls, content]);
      }
  });
});

const dsml = "\uff5cDSML\uff5c";
const invoke = (body: string) => `<${dsml}invoke name="now">${body}</${dsml}invoke>`;

test.each([
  // A parameter that says it is JSON and is none, an end before a list's, no name, arguments that are no object.
  [dsml, invoke(`<${dsml}parameter name="a" string="false">b c</${dsml}parameter>`)],
  [dsml, invoke(`<${dsml}parameter name="a">b</${dsml}parameter>`)],
  [dsml, `<${dsml}function_calls>\n<${dsml}invoke name="`],
  ["[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]now[ARGS][1]"],
  ["[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]now[ARGS]{} and so on"],
  ["[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]now and then"],
  ["[TOOL_CALLS]", '[TOOL_CALLS][{"name": "now", "arguments": {}}'],
  ['<function name="', '<function name="now"><param name="a">b</function>'],
  ["<function=example_function_name>", "<function=now>[]</function>"],
  ["<tool_calls>[", "<tool_calls>[]</tool_calls>"],
])("what is no well-formed call stays content, whole: %s %s", (template, text) => {
  for (const pieces of [[text], [...text]])
    expect(read(template, pieces)).toEqual({ content: text, calls: [], ids: [] });
});

test("ids are the model's own where it writes them, and nine letters where its template wants these", () => {
  const named = "[TOOL_CALLS]now[CALL_ID]abc123XYZ[ARGS]{}[TOOL_CALLS]now[ARGS]{}";
  const [first, second] = read("[TOOL_CALLS] [ARGS]", [named]).ids;
  expect(first).toBe("abc123XYZ");
  expect(second).toMatch(/^[a-zA-Z0-9]{9}$/);
  const listed = '[TOOL_CALLS] [{"name": "now", "arguments": {}, "id": "000000001"}]';
  expect(read("[TOOL_CALLS]", [listed]).ids).toEqual(["000000001"]);
  expect(read("<tool_call>", ['<tool_call>{"name": "now"}</tool_call>']).ids).toEqual([undefined]);
});

test("a value of a type that is no text may stand as Python writes it", () => {
  const markup = (key: string, value: string) =>
    read("<parameter=", [
      `<tool_call><function=get_weather><parameter=${key}>\n${value}\n</parameter></function></tool_call>`,
    ]).calls[0]?.arguments[key];
  expect(markup("exact", "True")).toBe(true);
  expect(markup("parts", "['a', \"b\"]")).toEqual(["a", "b"]);
  expect(markup("more", "{'x': [1, None]}")).toEqual({ x: [1, null] });
  expect(markup("city", "['a']")).toBe("['a']");
  expect(markup("parts", "['a'")).toBe("['a'");
});

test.each(["]<]minimax[>[<tool_call>", "<seed:tool_call> <parameter=", "<|python_start|> <|python_tag|>"])(
  "marks of a family that is not read are not taken for another's: %s",
  (template) => expect(familyOf(template)).toBeUndefined(),
);
