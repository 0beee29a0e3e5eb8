import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { holdServing, medianError, predictServing, servingSchema, servingText } from "../src/plan/serving.ts";

const root = `${import.meta.dirname}/..`;
const { points } = servingSchema.parse(JSON.parse(readFileSync(`${root}/conformance/serving.json`, "utf8")));
const held = holdServing(points);

describe("predictions beside public measurements", () => {
  test("there are points of DeepSeek, SGLang, vLLM, TensorRT-LLM and offloaded experts, on many machines and in many layouts", () => {
    const of = (key: "machine" | "model" | "layout" | "offload") => new Set(points.map((point) => point[key])).size;
    expect(points.length).toBeGreaterThanOrEqual(40);
    expect([of("machine"), of("model"), of("layout"), of("offload")].every((n) => n > 1)).toBe(true);
    expect(of("machine")).toBeGreaterThan(15);
    for (const maker of [
      "open-infra-index",
      "profile-data",
      "lmsys.org",
      "vllm-project",
      "TensorRT-LLM",
      "ktransformers",
    ])
      expect(
        points.some(({ source }) => source.includes(maker)),
        maker,
      ).toBe(true);
  });

  test.each(held.map((one) => [one.point.model, one.point.machine, one.point.phase, one] as const))(
    "%s on %s, %s: within 2 times, or with the reason",
    (_, __, ___, { ratio, point }) => {
      const off = Math.max(ratio, 1 / ratio);
      expect(off).toBeLessThan(5.5);
      expect(point.reason !== undefined, `off by ${off}`).toBe(off > 2);
      expect(point.source.length).toBeGreaterThan(20);
      // What is known stands apart from what is not; a reason is no guess.
      expect(point.reason ?? "").not.toMatch(/likely|probably|perhaps/);
    },
  );

  test("the median is off by half, and Hopper serving experts over many nodes by a tenth", () => {
    expect(medianError(held)).toBeLessThan(1.56);
    const wide = held.filter(
      ({ point: { model, machine } }) => /deepseek-v3|kimi/.test(model) && /^\d{2,}xh\d00/.test(machine),
    );
    const steady = wide.filter(({ point }) => !point.reason && point.batch > 32);
    expect(steady.length).toBeGreaterThanOrEqual(9);
    expect(medianError(steady)).toBeLessThan(1.1);
  });

  test("reasons that rest on the number of sequences are those that the model gives for fewer", () => {
    const said = points.flatMap((point) => {
      const [, ratio] = /[Aa] quarter\D*(\d+\.\d+)/.exec(point.reason ?? "") ?? [];
      return ratio ? [[point, Number(ratio)] as const] : [];
    });
    expect(said.length).toBe(9);
    for (const [point, ratio] of said)
      expect(predictServing({ ...point, batch: Math.round(point.batch / 4) }) / point.tokensPerSecond).toBeCloseTo(
        ratio,
        1,
      );
  });

  test("twice the devices with twice the sequences serve twice as much, less what they send", () => {
    const at = points.find(({ machine, phase }) => machine === "32xh100" && phase === "prefill")!;
    const more = predictServing({ ...at, machine: "64xh100", layout: "dp64", batch: 2 * at.batch });
    expect(more / predictServing(at)).toBeGreaterThan(1.3);
    expect(more / predictServing(at)).toBeLessThan(2);
  });

  test("the document is what the file and the code make", () => {
    expect(readFileSync(`${root}/docs/serving.md`, "utf8")).toBe(servingText(points));
  });

  test("a record with a key that is not known, or a model that is not, is refused", () => {
    const [first] = points;
    expect(() => servingSchema.parse({ points: [{ ...first, layuot: "tp8" }] })).toThrow(/layuot/);
    expect(() => servingSchema.parse({ points: [{ ...first, batch: 0 }] })).toThrow(/batch/);
    expect(() => predictServing({ ...first!, model: "deepseek-v0" })).toThrow(/deepseek-v0/);
  });
});
