import { afterAll, describe, expect, test } from "vitest";
import { applyTemplate } from "../src/tokenizer/apply.ts";
import { parseExact, writeExact } from "../src/tokenizer/jinja/exact.ts";
import { Jinja } from "../src/tokenizer/jinja/jinja.ts";
import { formatFloat } from "../src/tokenizer/jinja/text.ts";
import { formatDate } from "../src/tokenizer/jinja/time.ts";
import { Float, TemplateFault } from "../src/tokenizer/jinja/value.ts";
import { openTemplate, type Template } from "../src/tokenizer/template.ts";
import { constructs, date, differences, messages, type Row, refusals } from "./fixture/jinja.ts";

const render = (template: string, values: object = {}) => new Jinja(template).render({ messages, ...values }, date);
const read = (values: string | undefined) => (values ? (parseExact(values) as Record<string, unknown>) : {});

const named = (rows: readonly Row[]) =>
  rows.map(([name, template, written, values]) => ({ name, template, written, values }));

describe("a template writes what Python's Jinja2 writes", () => {
  const open: Template[] = [];
  afterAll(() => {
    for (const one of open) one.close();
  });

  test.each(named(differences))("$name, also from its thread", async ({ template, written, values }) => {
    const one = openTemplate("f", template);
    open.push(one);
    expect(await one.render(messages, { values: read(values), date })).toBe(written);
  });

  test.each(named(constructs))("$name", ({ template, written, values }) => {
    expect(render(template, read(values))).toBe(written);
  });

  test.each(refusals)("%s is refused", (template, reason) => {
    expect(() => render(template)).toThrow(TemplateFault);
    expect(() => render(template)).toThrow(reason);
  });

  test("what it raises itself is told in its own words", () => {
    expect(() => render("{{ raise_exception('Roles must take turns: ' ~ messages|length) }}")).toThrow(
      /^Roles must take turns: 3$/,
    );
  });
});

describe("a hostile template", () => {
  test.each([
    [
      "{{ messages.constructor }}{{ messages[0].__proto__ }}{{ ''.length }}{{ range.call }}{{ messages[0].toString }}",
      "",
    ],
    ["{% set d = {'__proto__': {'x': 1}, 'constructor': 2} %}{{ d.x }}|{{ d['__proto__'].x }}|{{ {}.x }}", "|1|"],
    ["{% set ns = namespace(constructor=1) %}{{ ns.constructor }}{{ ns.toString }}", "1"],
    ["{{ dict(messages[0], hasOwnProperty=3)['hasOwnProperty'] }}", "3"],
  ])("sees none of JavaScript: %s", (template, written) => {
    expect(render(template)).toBe(written);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  test.each([
    ["{{ 'a' * 1000000000 }}", /1000000000 characters/],
    ["{{ [1] * 100000000 }}", /a list of more than 1000000 items/],
    ["{{ 9 ** (9 ** 9) }}", /an integer of more than 16384 bits/],
    ["{{ 'a'.center(100000000) }}", /100000000 characters|99999999/],
    ["{{ '%1000000000d' % 1 }}", /1000000000 characters/],
    ["{{ '{:1000000000}'.format(1) }}", /1000000000 characters/],
    ["{{ 'aaaa'|replace('a', 'a' * 10000000) }}", /40000000 characters/],
    ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /call stack|steps/],
    ["{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", /more than 10000000 steps/],
  ])("is bounded: %s", (template, reason) => {
    expect(() => render(template)).toThrow(reason);
  });
});

describe("numbers of JSON keep their kind", () => {
  test("from text to text", () => {
    const text = '{"a":1.0,"b":[1,-0.5,1e+16,12345678901234567890],"c":{"d":-0.0},"e":"1.0"}';
    expect(writeExact(parseExact(text))).toBe(text);
    expect((parseExact("[1.0, 2]") as unknown[])[0]).toEqual(new Float(1));
    expect(() => writeExact([Number.NaN])).toThrow(/NaN/);
  });

  test.each([
    [0.1, "0.1"],
    [1e22, "1e+22"],
    [123456789012345680, "1.2345678901234568e+17"],
    [1e15, "1000000000000000.0"],
    [0.0001, "0.0001"],
    [-0.00001234, "-1.234e-05"],
    [5e-324, "5e-324"],
    [-0, "-0.0"],
  ])("%s is written as Python writes it", (value, text) => {
    expect(formatFloat(value)).toBe(text);
  });
});

// By Python 3.11's datetime.strftime in the C locale.
test.each([
  [new Date(2024, 11, 30, 0, 0, 0), "52 53 01 2025 25 365 1 12 AM"],
  [new Date(2027, 0, 3, 13, 0, 0), "01 00 53 2026 26 003 0 01 PM"],
  [new Date(2024, 1, 29, 12, 0, 0), "08 09 09 2024 24 060 4 12 PM"],
])("weeks of %s", (day, text) => {
  expect(formatDate(day, "%U %W %V %G %g %j %w %I %p")).toBe(text);
});

test("messages are completed as transformers does it", async () => {
  const seen: unknown[] = [];
  const template: Template = {
    source: "",
    render: async (...given) => String(seen.push(given)),
    close() {},
  };
  await applyTemplate(template, [
    { role: "assistant", content: null, reasoning: "r", name: null },
    { role: "user", content: "u" },
  ]);
  expect(seen).toEqual([
    [
      [
        { thinking: "r", role: "assistant", reasoning: "r", reasoning_content: "r" },
        { role: "user", content: "u" },
      ],
      { tools: null, documents: null },
    ],
  ]);
});

test("a conversation of a hundred messages takes milliseconds", () => {
  const template = new Jinja(
    "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content | trim }}{% elif m.tool_calls %}{{ m.tool_calls | tojson }}" +
      "{% else %}{% set parts = m.content.split('</think>') %}{{ parts[-1].strip() }}{% endif %}{{ loop.last }}{% endfor %}",
  );
  const many = Array.from({ length: 100 }, (_, i) => ({
    role: i % 2 ? "assistant" : "user",
    content: "word ".repeat(200),
  }));
  template.render({ messages: many });
  const start = performance.now();
  for (let i = 0; i < 10; i++) template.render({ messages: many });
  // A few on a free machine; a busy one has many times as long.
  expect((performance.now() - start) / 10).toBeLessThan(200);
});
