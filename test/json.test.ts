import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Blueprint } from "../src/cost/blueprint.ts";
import { presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { FormatError } from "../src/tensor/error.ts";
import { formatJson, parseJson } from "../src/tensor/json.ts";
import { long } from "./extent.ts";

/** Where a config has numbers, lists by their first. */
function numbersIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value === "number") return [path];
  if (Array.isArray(value)) return numbersIn(value[0], [...path, "0"]);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) => numbersIn(part, [...path, key]));
}

/** All that is in a blueprint, its functions as they are written. */
const costs = (blueprint: Blueprint) =>
  JSON.stringify(blueprint, (_, part) => (typeof part === "function" ? String(part) : part));

describe("JSON as Python writes it", () => {
  test.each<[string, unknown]>([
    ["Infinity", Number.POSITIVE_INFINITY],
    [" -Infinity\n", Number.NEGATIVE_INFINITY],
    ["NaN", Number.NaN],
    ["[NaN,Infinity ,\t-Infinity, 1]", [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1]],
    ['{"a":{"b":[0.0, Infinity]},"c":NaN}', { a: { b: [0, Number.POSITIVE_INFINITY] }, c: Number.NaN }],
    [
      '{"Infinity":"NaN","NaN":"-Infinity","x":Infinity}',
      { Infinity: "NaN", NaN: "-Infinity", x: Number.POSITIVE_INFINITY },
    ],
    ['["\\\\",NaN,"\\"NaN",NaN,"\\u004eaN"]', ["\\", Number.NaN, '"NaN', Number.NaN, "NaN"]],
    ['{"__proto__":NaN}', JSON.parse('{"__proto__":1}', (key, x) => (key === "__proto__" ? Number.NaN : x))],
  ])("%s", (text, value) => {
    expect(parseJson(text)).toEqual(value);
    expect(parseJson(formatJson(parseJson(text)))).toEqual(value);
  });

  test.each([
    "",
    "infinity",
    "nan",
    "+Infinity",
    "-NaN",
    "--Infinity",
    "- Infinity",
    "Infinity5",
    "5Infinity",
    "5-Infinity",
    "1e-Infinity",
    "Infinity.5",
    "Infinit",
    "InfinityInfinity",
    "NaNNaN",
    "1NaN",
    "NaN1",
    "NaNx",
    "{NaN:1}",
    "{NaN \n :1}",
    "{Infinity:1}",
    '{"a" NaN}',
    '{"a":NaN,}',
    '["NaN]',
    '["\\',
    "[NaN",
    "undefined",
    "[1e999,]",
  ])("%s is none", (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test("any value comes back, whatever its texts and keys look like", () => {
    const number = fc.oneof(
      fc.double(),
      fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN),
    );
    const text = fc.oneof(fc.string(), fc.constantFrom("NaN", "-Infinity", '"NaN', "\\", '\\"', "\u0000", ":NaN,"));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 4 }, number, text, fc.boolean(), fc.constant(null), tie("list"), tie("object")),
      list: fc.array(tie("value"), { maxLength: 4 }),
      object: fc.dictionary(text, tie("value"), { maxKeys: 4 }),
    }));
    const zeros = (x: unknown) =>
      JSON.parse(JSON.stringify(x, (_, part) => (Object.is(part, -0) ? 0 : part)) ?? "null");
    fc.assert(
      fc.property(value, (x) => {
        const back = parseJson(formatJson(x));
        expect(formatJson(back)).toBe(formatJson(x));
        expect(zeros(back)).toEqual(zeros(x));
      }),
      { numRuns: 500 },
    );
  });

  test("plain JSON is what JSON.parse makes of it", () => {
    for (const text of ['{"a":[1,2,{"b":null}],"c":"\\u0000NaN"}', "1e999", '"Infinity"', "[]", "-0"])
      expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test("long texts take time in proportion to their length", () => {
    // Strings that never end, escapes, blanks before colons that are none: what would make a search start over and over.
    for (const [head, part] of [
      ["", '"\\"'],
      ["", "NaN "],
      ["[NaN", " "],
      ["", "[NaN,"],
      ["", "Infinit"],
      ['"', "\\\\"],
      ["", '"NaN'],
    ] as const)
      expect(() => parseJson(head + part.repeat(1_000_000))).toThrow();
  });

  /** One of them for each key, by turns, or all. */
  const bare = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];

  test("that no key reads changes no plan; where one does, it is refused by its name", () => {
    for (const { name, config } of presets) {
      const plain = costs(blueprintOfConfig(config, name));
      for (const [i, path] of numbersIn(config).entries())
        for (const value of long ? bare : [bare[i % bare.length]!]) {
          const changed = structuredClone(config) as Record<string, never>;
          path.slice(0, -1).reduce<Record<string, unknown>>((part, key) => part[key] as never, changed)[path.at(-1)!] =
            value;
          let found: string;
          try {
            found = costs(blueprintOfConfig(changed, name));
          } catch (error) {
            expect(error, `${name}: ${path}`).toBeInstanceOf(FormatError);
            const key = path.findLast((part) => !/^\d+$/.test(part))!;
            expect((error as Error).message).toMatch(new RegExp(`${key}.*got .*${value}`));
            continue;
          }
          expect(found, `${name}: ${path}`).toBe(plain);
        }
    }
  });

  test("a message shows what stands in the file", () => {
    expect(formatJson([1, Number.NEGATIVE_INFINITY, { a: Number.NaN }, "Infinity"])).toBe(
      '[1,-Infinity,{"a":NaN},"Infinity"]',
    );
    expect(formatJson(undefined)).toBe("nothing");
  });
});
