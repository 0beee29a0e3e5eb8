import { describe, expect, test } from "vitest";
import { families } from "../src/server/parse/family.ts";
import { type Delta, markTokens, type ParserOptions, parserFor, thinkingAfter } from "../src/server/parse/parser.ts";
import { Random } from "../src/tensor/random.ts";
import { textStream } from "../src/tokenizer/stream.ts";
import { byteTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";

interface Said {
  readonly content: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly id?: string | undefined; readonly name: string; readonly arguments: unknown }[];
}

/** What deltas say, put together. */
function gather(deltas: readonly Delta[]): Said {
  const text = (kind: "content" | "reasoning") => deltas.map((delta) => delta[kind] ?? "").join("");
  const calls = deltas.flatMap(({ call }) => (call ? [call] : []));
  expect(calls.map(({ index }) => index)).toEqual(calls.map((_, i) => i));
  return {
    content: text("content"),
    reasoning: text("reasoning"),
    calls: calls.map(({ index: _, arguments: given, ...call }) => ({ ...call, arguments: JSON.parse(given) })),
  };
}

const open: ParserOptions = { tools: true, thinking: "closed" };

function parse(template: string, pieces: readonly string[], options: Partial<ParserOptions> = {}): Said {
  const parser = parserFor(template, { ...open, ...options });
  return gather([...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()]);
}

/** A text in pieces of random lengths. */
function cut(text: string, random: Random): string[] {
  const pieces: string[] = [];
  const longest = 1 + Math.floor(20 * random.uniform());
  for (let at = 0; at < text.length; ) {
    const length = 1 + Math.floor(longest * random.uniform());
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

const schemas = new Map<string, unknown>([
  [
    "weather",
    {
      type: "object",
      properties: {
        city: { type: "string" },
        days: { type: "integer" },
        exact: { type: "boolean" },
        zip: { anyOf: [{ type: "string" }, { type: "null" }] },
        parts: { type: "array" },
      },
    },
  ],
  ["time", { type: "object", properties: {} }],
]);

const bar = "\uff5c";
const mark = (words: string) => `<${bar}${words.replaceAll(" ", "\u2581")}${bar}>`;

const templates = {
  hermes: "<tool_call> </think>",
  markup: "<tool_call> <function= <parameter= </think>",
  glm: "<tool_call> <arg_key> </think>",
  kimi: "<|tool_calls_section_begin|> </think>",
  deepseek: `${mark("tool calls begin")} </think>`,
  python: "<|tool_call_start|> <|thought_end|>",
  llama: "<|python_tag|>",
  gigachat: "<|function_call|>",
  turn: "<|role_sep|>",
} as const;

const kyiv = { name: "weather", arguments: { city: "Kyiv" } };
const now = { name: "time", arguments: {} };
const call = (body: string) => `<tool_call>${body}</tool_call>`;
const kimi = (id: string, body: string) =>
  `<|tool_call_begin|>${id}<|tool_call_argument_begin|>${body}<|tool_call_end|>`;
const fenced = (name: string, body: string) =>
  `${mark("tool call begin")}function${mark("tool sep")}${name}\n\`\`\`json\n${body}\n\`\`\`${mark("tool call end")}`;
const plain = (name: string, body: string) =>
  `${mark("tool call begin")}${name}${mark("tool sep")}${body}${mark("tool call end")}`;

/** What a model writes, and what it means; where nothing is said of a part, it is empty. */
const cases: readonly (readonly [template: keyof typeof templates, text: string, Partial<Said>])[] = [
  ["hermes", "Hello,\n\nworld \n", { content: "Hello,\n\nworld \n" }],
  ["hermes", call('\n{"name": "weather", "arguments": {"city": "Kyiv"}}\n'), { calls: [kyiv] }],
  [
    "hermes",
    `<think>\nWhich city?\n\nKyiv.\n</think>\n\nLooking.\n${call('{"name":"weather","arguments":{"city":"Kyiv"}}')}\n${call('{"name": "time"}')}`,
    { reasoning: "Which city?\n\nKyiv.", content: "Looking.", calls: [kyiv, now] },
  ],
  [
    "hermes",
    call('[{"name":"weather","parameters":{"city":"Kyiv"}},{"name":"time","arguments":{}}]'),
    { calls: [kyiv, now] },
  ],
  ["hermes", call('{"name":"weather","arguments":"{\\"city\\":\\"Kyiv\\"}"}'), { calls: [kyiv] }],
  [
    "hermes",
    `a ${call('{"name": "weather", "arguments": {"city": "a </tool_call> b"}}')} c`,
    { content: "a c", calls: [{ name: "weather", arguments: { city: "a </tool_call> b" } }] },
  ],
  // The end of the text closes what reads as a whole.
  ["hermes", '<tool_call>{"name": "time"}', { calls: [now] }],
  // No calls: no JSON, no name, JSON cut short, a bare mark, a mark cut short, a mark that closes nothing.
  ["hermes", `a ${call("{name: time}")} b`, { content: `a ${call("{name: time}")} b` }],
  ["hermes", call('{"nam": "time"}'), { content: call('{"nam": "time"}') }],
  ["hermes", call('{"name": "time", "arguments": [1]}'), { content: call('{"name": "time", "arguments": [1]}') }],
  ["hermes", call('{"name": "time", "arguments": {"a": 1'), { content: call('{"name": "time", "arguments": {"a": 1') }],
  [
    "hermes",
    call('{"name": "ti\nme"}') + call('{"name": "time"}'),
    { content: call('{"name": "ti\nme"}'), calls: [now] },
  ],
  ["hermes", "<tool_call>", { content: "<tool_call>" }],
  ["hermes", "a <tool_ca", { content: "a <tool_ca" }],
  ["hermes", "a </tool_call>", { content: "a </tool_call>" }],
  // Thoughts: none but at the beginning, and what never ends.
  ["hermes", "Say <think> or </think>.", { content: "Say <think> or </think>." }],
  ["hermes", "<think>\nso\n", { reasoning: "so" }],
  ["hermes", "\n<think>\n\n</think>\n\nHi", { content: "Hi" }],
  ["hermes", `<think>${call('{"name": "time"}')}</think>`, { reasoning: call('{"name": "time"}') }],
  [
    "markup",
    call(
      "\n<function=weather>\n<parameter=city>\n Kyiv\nold\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n</function>\n",
    ),
    { calls: [{ name: "weather", arguments: { city: " Kyiv\nold", days: 3, exact: true } }] },
  ],
  ["markup", call("<function=time></function>"), { calls: [now] }],
  ["markup", call("<function=time>"), { content: call("<function=time>") }],
  [
    "markup",
    call("<function=weather><parameter=city></tool_call></parameter></function>"),
    { calls: [{ name: "weather", arguments: { city: "</tool_call>" } }] },
  ],
  [
    "glm",
    `<think>so</think>\n${call("weather\n<arg_key>city</arg_key>\n<arg_value>12345</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n")}\n${call("time")}`,
    { reasoning: "so", calls: [{ name: "weather", arguments: { city: "12345", days: 3 } }, now] },
  ],
  [
    "glm",
    call(
      'weather<arg_key>zip</arg_key><arg_value>null</arg_value><arg_key>parts</arg_key><arg_value>[1, "a"]</arg_value><arg_key>other</arg_key><arg_value>0.50</arg_value>',
    ),
    { calls: [{ name: "weather", arguments: { zip: null, parts: [1, "a"], other: 0.5 } }] },
  ],
  ["glm", "<tool_call>tim", { content: "<tool_call>tim" }],
  ["glm", call("weather <arg_key>city</arg_value>"), { content: call("weather <arg_key>city</arg_value>") }],
  [
    "kimi",
    `Looking.<|tool_calls_section_begin|>${kimi("functions.weather:0", '{"city": "Kyiv"}')}${kimi("functions.time:1", "{}")}<|tool_calls_section_end|>`,
    {
      content: "Looking.",
      calls: [
        { id: "functions.weather:0", ...kyiv },
        { id: "functions.time:1", ...now },
      ],
    },
  ],
  [
    "kimi",
    `<|tool_calls_section_begin|>${kimi("functions.time:0", "{")}<|tool_calls_section_end|>`,
    { content: `<|tool_calls_section_begin|>${kimi("functions.time:0", "{")}<|tool_calls_section_end|>` },
  ],
  [
    "deepseek",
    `${mark("tool calls begin")}${fenced("weather", '{"city": "Kyiv"}')}\n${fenced("time", "{}")}${mark("tool calls end")}`,
    { calls: [kyiv, now] },
  ],
  [
    "deepseek",
    `Hm.\n\n${mark("tool calls begin")}${plain("weather", '{"city": "Kyiv"}')}${plain("time", "{}")}`,
    { content: "Hm.", calls: [kyiv, now] },
  ],
  ["gigachat", 'Hm.<|function_call|>{"name": "time", "arguments": {}}', { content: "Hm.", calls: [now] }],
  [
    "turn",
    'Hm.<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "weather", "arguments": {"city": "Kyiv"}}<|message_sep|>\n\n',
    { content: "Hm.", calls: [kyiv] },
  ],
  ["turn", "A function call is one.", { content: "A function call is one." }],
  ["deepseek", mark("tool calls begin"), { content: mark("tool calls begin") }],
  [
    "python",
    '<|thought_start|>\nso\n<|thought_end|>\n<|tool_call_start|>\n```python\nweather(city="Kyiv")\ntime()\n```\n<|tool_call_end|>\nDone',
    { reasoning: "so", content: "\nDone", calls: [kyiv, now] },
  ],
  [
    "python",
    "<|tool_call_start|>[weather(city='K\\'y\\u0069v', parts=[1, -2.5, None, {'a': True}], days=+3)]<|tool_call_end|>",
    { calls: [{ name: "weather", arguments: { city: "K'yiv", parts: [1, -2.5, null, { a: true }], days: 3 } }] },
  ],
  ["python", '<|tool_call_start|>{"name": "time", "arguments": {}}<|tool_call_end|>', { calls: [now] }],
  ["python", "<|tool_call_start|>time(1)<|tool_call_end|>", { content: "<|tool_call_start|>time(1)<|tool_call_end|>" }],
  ["python", "<|tool_call_start|>a = b<|tool_call_end|>", { content: "<|tool_call_start|>a = b<|tool_call_end|>" }],
  ["llama", '{"name": "weather", "parameters": {"city": "Kyiv"}}', { calls: [kyiv] }],
  ["llama", ' \n{"type": "function", "name": "time", "parameters": {}}; {"name": "time"}', { calls: [now, now] }],
  ["llama", '<|python_tag|>{"name": "time", "parameters": {}}', { calls: [now] }],
  ["llama", '<|python_tag|>search.call(query="x")', { content: '<|python_tag|>search.call(query="x")' }],
  // Any answer may be JSON.
  ["llama", '{"name": "Ann", "age": 3}', { content: '{"name": "Ann", "age": 3}' }],
  ["llama", '{"age": 3} <|python_tag|>{"name": "time"}', { content: '{"age": 3}', calls: [now] }],
  ["llama", 'So: {"name": "time", "parameters": {}}', { content: 'So: {"name": "time", "parameters": {}}' }],
];

const nothing: Said = { content: "", reasoning: "", calls: [] };

describe("what a model writes means the same however it is cut", () => {
  const random = new Random(7);
  for (const [name, text, said] of cases)
    test(`${name}: ${JSON.stringify(text).slice(0, 90)}`, () => {
      const expected = { ...nothing, ...said };
      expect(parse(templates[name], [text], { schemas })).toEqual(expected);
      expect(parse(templates[name], [...text], { schemas })).toEqual(expected);
      for (let i = 0; i < 50; i++) expect(parse(templates[name], cut(text, random), { schemas })).toEqual(expected);
    });
});

test("texts put together from pieces of all families mean the same however they are cut, and lose no character that is no mark", () => {
  const random = new Random(11);
  const parts = cases.map(([, text]) => text).concat(["\n", " ", "{", '"', "<think>", "</think>", "a"]);
  for (const [name, template] of Object.entries(templates))
    for (let i = 0; i < 150; i++) {
      const text = Array.from({ length: 1 + Math.floor(4 * random.uniform()) }, () => {
        const part = parts[Math.floor(parts.length * random.uniform())]!;
        return part.slice(0, Math.ceil(part.length * Math.min(1, 1.5 * random.uniform())));
      }).join("");
      const thinking = random.uniform() < 0.3 ? "open" : "closed";
      const whole = parse(template, [text], { schemas, thinking });
      for (let j = 0; j < 5; j++)
        expect(parse(template, cut(text, random), { schemas, thinking }), `${name}: ${text}`).toEqual(whole);
      if (whole.calls.length === 0) {
        const letters = (words: string) => words.replaceAll(/\s|<\/?think>|<\|thought_(?:start|end)\|>/g, "");
        expect(letters(whole.reasoning + whole.content), `${name}: ${text}`).toBe(letters(text));
      }
    }
});

test("a prompt that has begun the thoughts leaves them open", () => {
  const { hermes, python } = templates;
  expect(thinkingAfter(hermes, "a<think>\n")).toBe("open");
  expect(thinkingAfter(hermes, "a<think>\n\n</think>\n\n")).toBe("closed");
  expect(thinkingAfter(python, "a<|thought_start|>")).toBe("open");
  expect(thinkingAfter(python, "a<think>")).toBe("closed");
  expect(thinkingAfter("no thoughts", "a<think>\n")).toBe("closed");
  expect(thinkingAfter(undefined, "a<think>\n")).toBe("closed");
  const said = parse(hermes, ["so\n</th", "ink>\n\nHi"], { thinking: "open" });
  expect(said).toEqual({ ...nothing, reasoning: "so", content: "Hi" });
});

test("without tools, and where a template has no marks, all is content", () => {
  const text = call('{"name": "time"}');
  expect(parse(templates.hermes, [text], { tools: false })).toEqual({ ...nothing, content: text });
  expect(parse("{{ messages }}", [`<think>${text}`])).toEqual({ ...nothing, content: `<think>${text}` });
});

test("numbers in arguments keep all their digits", () => {
  const parser = parserFor(templates.hermes, open);
  const given = '{"id": 12345678901234567890, "x": 1.50}';
  const deltas = parser.push(call(`{"name": "time", "arguments": ${given}}`));
  expect(deltas).toEqual([{ call: { index: 0, name: "time", arguments: given } }]);
});

test("content comes as soon as no mark can begin in it", () => {
  const parser = parserFor(templates.hermes, open);
  expect(parser.push("<")).toEqual([]);
  expect(parser.push("b>bold ")).toEqual([{ content: "<b>bold" }]);
  expect(parser.push("x <tool")).toEqual([{ content: " x" }]);
  expect(parser.push("s>")).toEqual([{ content: " <tools>" }]);
  const llama = parserFor(templates.llama, open);
  expect(llama.push('{"nam')).toEqual([]);
  expect(llama.push("ing")).toEqual([{ content: '{"naming' }]);
});

test("a text of nothing but marks takes time in proportion to it", () => {
  const started = performance.now();
  const body = '{"name": "time", "arguments": {"a": "';
  const text = `<tool_call>${body}${"</tool_call>".repeat(20_000)}`;
  const { content } = parse(templates.hermes, [text, "<tool_call>".repeat(20_000)]);
  expect(content).toBe(text + "<tool_call>".repeat(20_000));
  expect(performance.now() - started).toBeLessThan(5000);
});

test("marks that are special tokens stand in the text, other special tokens do not", () => {
  const names = ["<tool_call>", "</tool_call>", "<|im_end|>", "<think>"];
  const tokenizer: Tokenizer = {
    ...byteTokenizer,
    vocabulary: 256 + names.length,
    special: new Set(names.map((_, i) => 256 + i)),
    id: (token) => (names.includes(token) ? 256 + names.indexOf(token) : undefined),
    decode: (ids) => Array.from(ids, (id) => names[id - 256] ?? String.fromCharCode(id)).join(""),
  };
  const kept = markTokens(templates.hermes, tokenizer, { tools: true });
  expect(kept).toEqual(new Set([259, 256, 257]));
  expect(markTokens(templates.hermes, tokenizer, { tools: false })).toEqual(new Set([259]));
  expect(markTokens("none", tokenizer, { tools: true })).toEqual(new Set());
  const text = (special: "omit" | "keep" | ReadonlySet<number>) => {
    const stream = textStream(tokenizer, { special });
    return [256, 97, 258, 98, 257].map((id) => stream.push(id)).join("") + stream.end();
  };
  expect(text(kept)).toBe("<tool_call>ab</tool_call>");
  expect(text("omit")).toBe("ab");
  expect(text("keep")).toBe("<tool_call>a<|im_end|>b</tool_call>");
});

test("each family is known by text that no family before it has", () => {
  for (const [i, { known }] of families.entries())
    for (const text of known)
      expect(families.findIndex((family) => family.known.some((word) => text.includes(word)))).toBe(i);
});
