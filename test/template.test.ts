import { afterEach, describe, expect, test } from "vitest";
import { FormatError } from "../src/tensor/error.ts";
import { chooseTemplate, openTemplate, type Template } from "../src/tokenizer/template.ts";
import { template } from "./fixture/chat.ts";

const open: Template[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});
const opened = (text: string, tokens: Record<string, string> = {}, limit?: { seconds: number | undefined }) => {
  const one = openTemplate("some/chat.jinja", text, tokens, limit);
  open.push(one);
  return one;
};
const hello = [{ role: "user", content: "hello" }];

describe("a chat template", () => {
  test("writes messages with the special tokens of its tokenizer, with or without a reply begun", async () => {
    const one = opened(template, { bos_token: "<s>" });
    expect(await one.render(hello)).toBe("<s>[user]hello\n[assistant]");
    expect(await one.render([...hello, { role: "assistant", content: "{{ x }}" }], { reply: "none" })).toBe(
      "<s>[user]hello\n[assistant]{{ x }}\n",
    );
  });

  test("writes each of many conversations at once as its own, failed ones between them", async () => {
    const one = opened(
      "{% if messages[0].content == '5' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}",
    );
    const numbers = Array.from({ length: 20 }, (_, i) => `${i}`);
    const render = (content: string) => one.render([{ role: "user", content }]).catch(() => "failed");
    expect(await Promise.all(numbers.map(render))).toEqual(numbers.map((n) => (n === "5" ? "failed" : n)));
  });

  test("is chosen by name where there are several", () => {
    const two = [
      { name: "default", template: "A" },
      { name: "tool_use", template: "B" },
    ];
    expect([chooseTemplate("f", "T"), chooseTemplate("f", two), chooseTemplate("f", two, "tool_use")]).toEqual([
      "T",
      "A",
      "B",
    ]);
    expect([chooseTemplate("f", undefined), chooseTemplate("f", null)]).toEqual([undefined, undefined]);
    for (const bad of [[], [null], {}, 7, [{ name: "other", template: "A" }], [{ name: "default", template: 3 }]])
      expect(() => chooseTemplate("some/file", bad), JSON.stringify(bad)).toThrow(/^some\/file: chat_template: got /);
  });

  test.each<[what: string, text: string, message: RegExp, seconds?: number]>([
    ["that is no template", "{% for %}", /some\/chat\.jinja: chat template: got ".*", expected text/],
    ["that refuses the messages", "{{ raise_exception('roles must alternate') }}", /got "roles must alternate"/],
    ["that calls what is not there", "{{ process.exit(1) }}", /chat template: got/],
    ["that reaches for constructors", "{{ ''.constructor.constructor('return process')() }}", /chat template: got/],
    [
      "that writes for ever",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      /more than 10000000 steps/,
    ],
    [
      "that takes long over few steps",
      "{% for i in range(100000) %}{% set x = [i] * 900000 %}{% endfor %}",
      /got no text in 1 s|megabytes|MB of memory/,
      1,
    ],
    [
      "that takes all memory",
      "{% set x = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set x.a = x.a + x.a %}{% endfor %}{{ x.a }}",
      /got /,
    ],
    ["that counts to a thousand million", "{% for i in range(1000000000) %}{% endfor %}", /expected at most 100000/],
    [
      "that writes too much",
      "{% set x = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(21) %}{% set x.a = x.a + x.a %}{% endfor %}{{ x.a }}",
      /characters, more than 16000000/,
    ],
    ["that is nested deeply", `${"{% if true %}".repeat(20000)}${"{% endif %}".repeat(20000)}`, /got /],
  ])("%s is a FormatError that names it, and ends", async (_, text, message, seconds) => {
    const one = opened(text, {}, { seconds });
    const error = await one.render(hello).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(message);
  });

  test("that is too long is refused, and a failed one can be tried again", async () => {
    expect(() => openTemplate("f", "a".repeat(1_000_001))).toThrow(/f: chat template: got 1000001 characters/);
    const picky = opened("{% if messages|length > 1 %}{{ raise_exception('one at a time') }}{% endif %}ok");
    await expect(picky.render([...hello, ...hello])).rejects.toThrow("one at a time");
    expect(await picky.render(hello)).toBe("ok");
  });
});
