import { describe, expect, test } from "vitest";
import { achieved } from "../src/cost/achieve.ts";
import { weightBytes } from "../src/cost/cost.ts";
import { groupOf } from "../src/cost/group.ts";
import { offloadName, offloadOn, parseOffload } from "../src/cost/offload.ts";
import { countByPart } from "../src/cost/part.ts";
import { decodeOn, prefillOn } from "../src/cost/serve.ts";
import { parseSplit } from "../src/cost/split.ts";
import { plan } from "../src/plan/plan.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { planSchema } from "../src/plan/schema.ts";
import { ShapeError } from "../src/tensor/error.ts";

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);
const [oss, llama] = [blueprint("gpt-oss-120b"), blueprint("llama-3.1-70b")];
const load = { context: 8192, batch: 1, step: 1, weightType: "int4", cacheType: "float16" } as const;
const home = groupOf("rtx-4090+ryzen-9950x");
const gib = 2 ** 30;

describe("experts on the host", () => {
  const found = offloadOn(oss, home, "experts", load);

  test("what is not an expert stays on the card, and all bytes lie in one of the two", () => {
    const experts = (36 * 128 * 3 * 2880 * 2880 * 0.5) / gib;
    // Experts of gpt-oss have biases beside their three matrices.
    expect(found.hostBytes / gib / experts).toBeGreaterThan(1);
    expect(found.hostBytes / gib / experts).toBeLessThan(1.01);
    const cache = plan(oss, { ...load, hosts: [], layouts: [] }).cache.find(({ dtype }) => dtype === "float16")!.bytes;
    expect(found.deviceBytes + found.hostBytes).toBeCloseTo(weightBytes(oss, "int4") + cache, -1);
    expect(found).toMatchObject({ fits: true });
  });

  test("a token reads four experts of each layer at the host memory's rate", () => {
    const read = (found.hostBytes * 4) / 128 / (89.6e9 * achieved.memory);
    expect(found.decode.host).toBeCloseTo(read, 6);
    expect(found.decode.seconds).toBeGreaterThan(found.decode.host + found.decode.crossing);
    // To the host and back in each layer.
    expect(found.decode.crossing).toBeGreaterThan(36 * 2 * home.device.host!.latency);
    expect(found.decode.crossing).toBeLessThan(36 * 2 * home.device.host!.latency * 1.1);
    const two = offloadOn(oss, groupOf("rtx-4090+2xepyc-9755"), "experts", load);
    expect(two.decode.host).toBeCloseTo((read * 89.6) / (2 * 614.4), 6);
  });

  test("many tokens bring the experts to the card instead of waiting for the processor", () => {
    expect(found.prefill.host).toBe(0);
    const crossing = found.hostBytes / (home.device.host!.bytes * achieved.network);
    expect(found.prefill.crossing).toBeCloseTo(crossing, 2);
    const few = offloadOn(oss, home, "experts", { ...load, context: 8 });
    expect(few.prefill.host).toBeGreaterThan(0);
  });

  test("longer contexts fill the card, and a host that is too small is told", () => {
    const at = (context: number) => offloadOn(oss, home, "experts", { ...load, context }).fits;
    expect([at(found.longestContext), at(found.longestContext + 1)]).toEqual([true, false]);
    const r1 = offloadOn(blueprint("deepseek-r1"), home, "experts", load);
    expect(r1).toMatchObject({ fits: false, longestContext: 0 });
    expect(offloadOn(blueprint("deepseek-r1"), groupOf("rtx-4090+epyc-9755"), "experts", load).fits).toBe(true);
  });
});

describe("layers on the host", () => {
  const at = (layers: number, name = "rtx-4090+ryzen-9950x") => offloadOn(llama, groupOf(name), { layers }, load);

  test("weights and caches go by layers, and time with them", () => {
    const [none, half, all] = [at(1), at(40), at(80)];
    expect(half.hostBytes / all.hostBytes).toBeCloseTo(1 / 2, 6);
    expect(half.decode.host / all.decode.host).toBeCloseTo(1 / 2, 6);
    expect(none.fits).toBe(false);
    expect(half.deviceBytes + half.hostBytes).toBeCloseTo(all.deviceBytes + all.hostBytes, -1);
    expect(half.decode.seconds).toBeGreaterThan(none.decode.seconds);
    // The host reads its 40 layers: 35 GB of int4 in all, less the tables.
    const read = (half.hostBytes / (89.6e9 * achieved.memory)) * 1.001;
    expect(half.decode.host).toBeLessThan(read);
    expect(half.decode.host / read).toBeGreaterThan(0.98);
  });

  test("nearly nothing on the host is nearly a card alone", () => {
    const alone = groupOf("h200");
    const beside = offloadOn(llama, groupOf("h200+epyc-9755"), { layers: 1 }, load);
    const [decode, prefill] = [decodeOn, prefillOn].map((on) => on(llama, alone, parseSplit("tp1"), load).seconds);
    const gpu = (shared: typeof beside.decode) => shared.seconds - shared.host - shared.crossing;
    expect(gpu(beside.decode) / decode!).toBeCloseTo(79 / 80, 2);
    expect(gpu(beside.prefill) / prefill!).toBeCloseTo(79 / 80, 2);
  });
});

test("a plan has a row for each machine with a processor beside it", () => {
  const made = plan(oss, {
    ...load,
    hosts: [],
    layouts: [],
    groups: [home, groupOf("2xrtx-5090")],
    offload: "experts",
  });
  expect(planSchema.parse(JSON.parse(JSON.stringify(made)))).toEqual(made);
  expect(made.offloads.map(({ group, offload }) => [group, offload])).toEqual([["rtx-4090+ryzen-9950x", "experts"]]);
  expect(made.groups.map(({ group }) => group)).toEqual(["2xrtx-5090"]);
  const { decode, prefill } = made.offloads[0]!;
  expect(decode.tokensPerSecond).toBe(1 / decode.seconds);
  expect(prefill.tokensPerSecond).toBe(8192 / prefill.seconds);
});

test("a file's bytes are told apart by parameters", () => {
  const file = { ...oss, weightBytes: 63e9, widths: undefined };
  const found = offloadOn(file, home, "experts", { ...load, weightType: "file" });
  expect((found.hostBytes / offloadOn(oss, home, "experts", load).hostBytes) * weightBytes(oss, "int4")).toBeCloseTo(
    63e9,
    -3,
  );
  const half = { ...llama, weightBytes: 40e9 };
  const layers = offloadOn(half, home, { layers: 40 }, { ...load, context: 1, weightType: "file" });
  expect((layers.deviceBytes + layers.hostBytes) / 40e9).toBeCloseTo(1, 4);
});

test("experts of four bits leave attention of sixteen on the card", () => {
  const { expert, ...others } = countByPart(oss);
  const found = offloadOn(oss, home, "experts", { ...load, context: 1, weightType: "file" });
  // MXFP4: 4 bits and a byte for every 32; biases, 0.4 % of the experts, stay in bfloat16.
  expect(found.hostBytes / ((expert * 4.25) / 8)).toBeCloseTo(1, 2);
  expect(found.deviceBytes / (2 * Object.values(others).reduce((sum, part) => sum + part, 0))).toBeCloseTo(1, 3);
});

test.each(["experts", "layers:12"])("%s is read and named", (text) => {
  expect(offloadName(parseOffload(text))).toBe(text);
});

test.each([
  ["all", "expected experts, or layers"],
  ["layers:0", "expected experts, or layers"],
  ["layers:-1", "expected experts, or layers"],
])("%s is refused", (text, why) => {
  expect(() => parseOffload(text)).toThrow(why);
});

test.each([
  ["rtx-4090", "llama-3.1-70b", { layers: 10 }, "no host's memory"],
  ["m3-ultra", "llama-3.1-70b", { layers: 10 }, "no host's memory"],
  ["rtx-4090+ryzen-9950x", "llama-3.1-70b", "experts", "has none of"],
  ["rtx-4090+ryzen-9950x", "llama-3.1-70b", { layers: 81 }, "at most the 80"],
] as const)("%s cannot take %s with %j", (machine, model, offload, why) => {
  expect(() => offloadOn(blueprint(model), groupOf(machine), offload, load)).toThrow(ShapeError);
  expect(() => offloadOn(blueprint(model), groupOf(machine), offload, load)).toThrow(why);
});
