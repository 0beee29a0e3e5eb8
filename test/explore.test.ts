import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Exploration,
  explore,
  fits,
  isPreset,
  models,
  presetSizes,
  ranges,
  readExploration,
  writeExploration,
} from "../site/src/explore.ts";
import { machines } from "../src/web.ts";

const numbers = Object.keys(ranges) as (keyof typeof ranges)[];

describe("the explorer's state", () => {
  test("is read as it was written", () => {
    const model = fc.constantFrom(...models);
    const moved = fc.dictionary(
      fc.constantFrom(...numbers),
      fc.integer({ min: 1, max: 300 }).map((i) => String(2 * i)),
    );
    const machine = fc.constantFrom("own", "h20", "m4-max", ...machines.map(({ name }) => name));
    fc.assert(
      fc.property(model, moved, machine, fc.constantFrom("int8", "float32"), (model, moved, machine, cache) => {
        const state = readExploration({ ...moved, model, machine, cache });
        const again = readExploration(writeExploration(state));
        // The rates of a machine of one's own are forgotten with it.
        if (machine === "own") expect(again).toEqual(state);
        else expect({ ...again, flops: 0, bytes: 0 }).toEqual({ ...state, flops: 0, bytes: 0 });
      }),
    );
    expect(writeExploration(readExploration({}))).toEqual({});
  });

  test("takes anything that a link may hold, and keeps within its ranges", () => {
    const key = fc.constantFrom("model", "machine", "cache", "weights", "__proto__", ...numbers);
    const value = fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String), fc.constant("1e400"));
    fc.assert(
      fc.property(fc.dictionary(key, value), (record) => {
        const state = readExploration(record);
        for (const name of numbers) expect(fits(name, state[name])).toBe(true);
        expect(models).toContain(state.model);
      }),
    );
  });

  test("begins with a model's own sizes", () => {
    for (const model of models) expect(isPreset(readExploration({ model }))).toBe(true);
    expect(isPreset(readExploration({ model: "deepseek-v3", h: "64" }))).toBe(false);
    expect(presetSizes("deepseek-v3")).toMatchObject({ d: 7168, q: 1536, h: 128, n: 128, r: 64, v: 128, c: 512 });
  });
});

describe("the explorer's answers", () => {
  /** New tokens up to which absorbed has fewer FLOPs over an endless prefix, as the literature's equation gives them. */
  test.each([
    ["deepseek-v2-lite", 170.7],
    ["deepseek-v3", 170.7],
    ["minicpm3-4b", 85.3],
    ["glm-4.7-flash", 398.2],
    ["mistral-small-4", 153.6],
  ])("%s: arithmetic changes form at %d new tokens, by the equation and by the library", (model, expected) => {
    const found = explore(readExploration({ model, context: String(2 ** 24) }));
    expect(found.chunkOfEndless).toBeCloseTo(expected, 1);
    // Of 2^24 tokens the share that is new is 2e-5; half of the new tokens' own pairs are hidden, which is as little.
    expect(found.chunkOfArithmetic / expected).toBeCloseTo(1, 2);
  });

  test("the balance from which on absorbed decodes faster is 3.4 a new token in 16 bits, 2.1 at GLM-4.7-Flash's heads", () => {
    const threshold = (record: Record<string, string>) => explore(readExploration(record)).threshold;
    expect(threshold({})).toBeCloseTo(3.4, 10);
    expect(threshold({ step: "4" })).toBeCloseTo(13.6, 10);
    expect(threshold({ cache: "float32" })).toBeCloseTo(1.7, 10);
    expect(threshold({ cache: "int8" })).toBeCloseTo(6.8, 10);
    expect(threshold({ model: "glm-4.7-flash" })).toBeCloseTo(2.125, 10);
  });

  test("keeps 576 numbers of a token, or 40,960", () => {
    expect(explore(readExploration({})).values).toEqual({ absorbed: 576, expanded: 40960 });
  });

  test("a machine of one's own decodes absorbed above the threshold, and expanded below it", () => {
    // So long a context and so large a batch that projections do not count.
    const at = (balance: number) => {
      const state = readExploration({ machine: "own", flops: String(balance / 10), bytes: "100", batch: "64" });
      const { decode, balance: found } = explore(state);
      expect(found).toBeCloseTo(balance, 10);
      return decode.absorbed.at(-1)![1] < decode.kept.at(-1)![1];
    };
    expect(at(3.4 * 0.95)).toBe(false);
    expect(at(3.4 * 1.05)).toBe(true);
  });

  test("lines cross where the marks say, on every machine of the table", () => {
    for (const { name } of machines)
      for (const model of models) {
        const state: Exploration = readExploration({ model, machine: name });
        const { decode, decodeFrom, prefill, chunk } = explore(state);
        for (const [i, [tokens, seconds]] of decode.absorbed.entries())
          if (Math.abs(tokens / decodeFrom - 1) > 1e-3)
            expect([name, model, tokens, seconds < decode.kept[i]![1]]).toEqual([
              name,
              model,
              tokens,
              tokens > decodeFrom,
            ]);
        for (const [i, [t, seconds]] of prefill.absorbed.entries())
          if (Math.abs(t / chunk - 1) > 1e-3)
            expect([name, model, t, seconds < prefill.unfolding[i]![1]]).toEqual([name, model, t, t < chunk]);
      }
  });
});
