import { describe, expect, test } from "vitest";
import { paramsOf, shapeOf } from "../src/attention/define.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { type Blueprint, blueprintOf, type LayerKind } from "../src/cost/blueprint.ts";
import { parametersRead, stepFlops, waysOf } from "../src/cost/cost.ts";
import { arithmetic, commonMachine, roofline } from "../src/cost/crossover.ts";
import type { Host } from "../src/cost/host.ts";
import { essay, paperRows } from "../src/cost/paper.ts";
import type { ByPart } from "../src/cost/part.ts";
import { prefillSteps, stepSeconds, timingOf } from "../src/cost/time.ts";
import { buildModel } from "../src/model/build.ts";
import { matchFamily, parseTarget } from "../src/plan/match.ts";
import { type PlanSettings, plan } from "../src/plan/plan.ts";
import { planJsonSchema, planSchema } from "../src/plan/schema.ts";
import { ShapeError } from "../src/tensor/error.ts";

const silent: LayerKind["feed"] = { always: 0, expert: 0, experts: 0, chosen: 0, flops: 0 };

/** Layers of one attention, written as a spec with its sizes, and nothing else. */
function only(spec: string, width: number, heads: number, count: number, more: Partial<Blueprint> = {}): Blueprint {
  const attention = parseSpec(spec, { width, heads, dims: "exact" });
  const layers = [{ count, attention, feed: silent, extra: 0 }];
  return { name: spec, architecture: "spec", vocabulary: 0, width, tied: true, extra: 0, layers, ...more };
}

const r1 = only("MLA:n128:r64:v128:c512:q1536", 7168, 128, 61);
const lite = only("MLA:n128:r64:v128:c512", 2048, 16, 27);
const youtu = only("MLA:n128:r64:v128:c512:q1536", 2048, 16, 32);
const miniCpm = only("MLA:n64:r32:v64:c256:q768", 2560, 40, 62);
const glm = only("MLA:n192:r64:v256:c512:q768", 2048, 20, 47);
const mistral4 = only("MLA:n64:r64:v128:c256:q1024", 4096, 32, 36);

const settings: PlanSettings = {
  context: 4096,
  batch: 1,
  step: 1,
  weightType: "float16",
  cacheType: "float16",
  hosts: [],
  layouts: [],
};
const planned = (blueprint: Blueprint, more: Partial<PlanSettings> = {}) => {
  const made = plan(blueprint, { ...settings, ...more });
  // What is printed is what the published schema says.
  expect(planSchema.parse(JSON.parse(JSON.stringify(made)))).toEqual(made);
  return made;
};
const kept = (blueprint: Blueprint, form: "expanded" | "absorbed", more: Partial<PlanSettings> = {}) =>
  planned(blueprint, more).cache.find((row) => row.form === form && row.dtype === settings.cacheType)!;
const host = (name: string, flops: number, bytes: number, memory?: number): Host => ({
  name,
  measured: false,
  rates: () => roofline({ flops, bytes }),
  ...(memory !== undefined && { memory }),
});

describe("caches", () => {
  test("DeepSeek-R1 keeps 10.72 GiB of latents at 163,840 tokens in float16, and 762.5 GiB of keys and values", () => {
    const [latent, expanded] = (["absorbed", "expanded"] as const).map((form) => kept(r1, form, { context: 163_840 }));
    expect(latent).toMatchObject({ valuesPerTokenPerLayer: 576, bytesPerToken: 70_272, bytes: 163_840 * 70_272 });
    expect((latent!.bytes / 2 ** 30).toFixed(2)).toBe("10.72");
    expect(expanded!.valuesPerTokenPerLayer).toBe(40_960);
    expect((expanded!.bytes / 2 ** 30).toFixed(1)).toBe("762.5");
  });

  // shared/reference/users.md, section 3; GLM-4.7-Flash and MiniCPM3 by their configs' sizes.
  test.each([
    ["DeepSeek-V2-Lite", lite, 15_552, 138_240],
    ["Youtu-LLM-2B", youtu, 18_432, 163_840],
    ["MiniCPM3-4B", miniCpm, 17_856, 396_800],
    ["GLM-4.7-Flash", glm, 27_072, 481_280],
  ])(
    "%s keeps so many latent values per token in all layers, and so many expanded ones",
    (_, blueprint, latent, whole) => {
      const layers = blueprint.layers[0]!.count;
      expect(kept(blueprint, "absorbed").valuesPerTokenPerLayer * layers).toBe(latent);
      expect(kept(blueprint, "expanded").valuesPerTokenPerLayer * layers).toBe(whole);
      expect(kept(blueprint, "absorbed").bytesPerToken).toBe(2 * latent);
    },
  );

  test("DeepSeek-V3.2's indexer keeps 128 more in either form", () => {
    const sparse = only("MLA-DSA2048:n128:r64:v128:c512:q1536:i128:j64", 7168, 128, 61);
    expect(kept(sparse, "absorbed").valuesPerTokenPerLayer).toBe(576 + 128);
    expect(kept(sparse, "expanded").valuesPerTokenPerLayer).toBe(128 * (128 + 64 + 128) + 128);
  });

  test("a variant with one form calls it expanded, and lists it in every type, the asked one first", () => {
    const rows = planned(only("GQA8", 4096, 32, 32), { cacheType: "int8" }).cache;
    expect(rows.map(({ form }) => form)).toEqual(Array.from({ length: 6 }, () => "expanded"));
    expect(rows.map(({ dtype }) => dtype)).toEqual(["int8", "float32", "bfloat16", "float16", "float8", "int4"]);
    // Llama 3.1 8B: 128 KiB per token in 16 bits.
    expect(rows.map(({ bytesPerToken }) => bytesPerToken / 1024)).toEqual([64, 256, 128, 128, 64, 32]);
  });

  test("layers without a cache count among the layers, and states come once per sequence", () => {
    const hybrid = blueprintOf(
      buildModel("[KDA*3,MLA]", { vocabulary: 10, width: 2048, heads: 16, layers: 8, dims: "exact" }),
      "hybrid",
    );
    const row = kept(hybrid, "absorbed", { context: 1000, batch: 3 });
    expect(row.valuesPerTokenPerLayer).toBe(576 / 4);
    const state = 16 * 128 * 128 + 3 * 3 * 16 * 128;
    expect(row.bytes).toBe(3 * (2 * 576 * 2 * 1000 + 6 * 4 * state));
  });

  test("a window bounds what its layers keep, and a compressed cache has an entry for so many tokens", () => {
    const [near, far] = [only("GQA4-W1024", 2048, 16, 5), only("GQA4", 2048, 16, 1)];
    const gemma = { ...near, layers: [...near.layers, ...far.layers] };
    const row = 2 * 4 * 128 * 2;
    expect(kept(gemma, "expanded", { context: 8192 }).bytes).toBe(row * (5 * 1024 + 8192));
    expect(kept(gemma, "expanded", { context: 100 }).bytes).toBe(row * 6 * 100);
    expect(kept(gemma, "expanded").bytesPerToken).toBe(6 * row);
    const compressed = only("GQA4", 2048, 16, 1);
    const layers = compressed.layers.map((kind) => ({ ...kind, keeping: { every: 4, recent: 128 } }));
    expect(kept({ ...compressed, layers }, "expanded", { context: 8190 })).toMatchObject({
      valuesPerTokenPerLayer: (2 * 4 * 128) / 4,
      bytes: row * (2047 + 128),
    });
    const borrowed = { ...compressed, layers: [...layers, { ...layers[0]!, keeping: { owner: 0 } }] };
    expect(kept(borrowed, "expanded").valuesPerTokenPerLayer).toBe((2 * 4 * 128) / 4 / 2);
  });

  test("the longest context fills the memory beside the weights, and is none where these do not fit", () => {
    const hosts = [host("roomy", 1, 1, 16e9), host("small", 1, 1, 1e9)];
    const { machines } = planned({ ...lite, weightBytes: 6e9 }, { weightType: "file", hosts });
    const longest = (at: number, form: string) =>
      machines[at]!.longestContext.find((row) => row.form === form && row.dtype === "float16")!.tokens;
    expect(longest(0, "absorbed")).toBe(Math.floor(10e9 / (2 * 15_552)));
    expect(longest(0, "expanded")).toBe(Math.floor(10e9 / (2 * 138_240)));
    expect(longest(1, "absorbed")).toBe(0);
    expect(machines.map(({ fits }) => fits)).toEqual([true, false]);
    const linear = planned(only("KDA", 2048, 16, 4), { hosts });
    expect(linear.machines[0]!.longestContext[0]!.tokens).toBeNull();
  });
});

describe("the master cost table (shared/reference/family.md, section 2.0) at width 2048, 16 heads", () => {
  const [d, h, dh, dn, dr, dc, dv] = [2048, 16, 128, 128, 64, 512, 128];
  const mha = 4 * d * h * dh;
  const mla = d * (dc + dr) + dc * h * (dn + dv) + h * dv * d;
  const s3 = dc + dr;
  type Row = readonly [spec: string, parameters: number, cache: number, pair: number, absorbed?: number];
  const rows: readonly Row[] = [
    ["MHA", mha, 2 * h * dh, 4 * h * dh],
    ["GQA2", 2 * d * h * dh + 2 * d * 2 * dh, 2 * 2 * dh, 4 * h * dh],
    ["MQA", 2 * d * h * dh + 2 * d * dh, 2 * dh, 4 * h * dh],
    ["MLA", d * h * (dn + dr) + mla, dc + dr, 2 * h * (dn + dr + dv), 2 * h * (2 * dc + dr)],
    ["MLA:q1536", d * 1536 + 1536 * h * (dn + dr) + mla, dc + dr, 2 * h * (dn + dr + dv), 2 * h * (2 * dc + dr)],
    ["GQA4-S2", d * h * dh + d * 4 * dh + h * dh * d, 4 * dh, 4 * h * dh],
    ["GQA1-(512+64)-S3", d * h * s3 + d * s3 + h * dc * d, s3, 2 * h * (2 * dc + dr)],
    ["MFA:q585", d * 585 + 585 * h * 256 + 2 * d * 256 + h * 256 * d, 2 * 256, 4 * h * 256],
    // Key reuse adds N and alpha to the table's row.
    ["MFA-KR:q585", d * 585 + 585 * h * 256 + d * 256 + 256 * 256 + 256 + h * 256 * d, 256, 4 * h * 256],
    ["TPA", d * (6 + 2 + 2) * (h + dh) + h * dh * d, 4 * (h + dh), 4 * h * dh, 2 * h * (2 * (dh + 1) + 2 * (dh + 1))],
    ["GTA4", d * h * dh + d * 4 * dh + d * dr + h * dh * d, 4 * dh + dr, 4 * h * dh],
    [
      "GLA2:q1024",
      d * 1024 + 1024 * h * (dh + dr) + d * (4 * dh + dr) + 2 * (2 * dh) * (h / 2) * (2 * dh) + h * dh * d,
      4 * dh + dr,
      2 * h * (2 * dh + dr),
      2 * h * (4 * dh + dr),
    ],
    // A gate costs a product and an addition per head and pair.
    ["MHA-FoX", mha + d * h + h, 2 * h * dh + h, 4 * h * dh + 2 * h],
    ["MHA-SBA", mha, 2 * h * dh, 4 * h * dh],
    ["KDA", 4 * d * h * dh + 2 * (d * dv + dv * h * dh) + d * h, 0, 0],
  ];

  test.each(rows.map((row) => [row[0], row] as const))("%s", (spec, [, parameters, cache, pair, absorbed]) => {
    const blueprint = only(spec, d, h, 1);
    const { variant, sizes } = blueprint.layers[0]!.attention;
    // The table leaves out gains, biases but a forget gate's, and what short convolutions add.
    const small = paramsOf(variant, sizes).filter(([name]) => /^(g|b(?!F$)|f|aF|aLog)/.test(name));
    const left = small.reduce((sum, [, axes]) => sum + shapeOf(axes, sizes).reduce((a, b) => a * b, 1), 0);
    const made = planned(blueprint);
    expect(made.layers[0]!.parameters - left).toBe(parameters);
    const declared = made.cache.find(({ form }) => form === (absorbed ? "absorbed" : "expanded"))!;
    expect(declared.valuesPerTokenPerLayer).toBe(cache);
    const perPair = (cached: "expanded" | "absorbed", form: "expanded" | "absorbed") =>
      stepFlops(blueprint, { cached, form }, { t: 1, s: 1001 }) -
      stepFlops(blueprint, { cached, form }, { t: 1, s: 1000 });
    // Making a value of each cached key is beside the table's pairs.
    const made2 = variant.forms.grouped?.cost(sizes).cached ?? 0;
    expect(perPair("expanded", "expanded") - made2).toBe(pair);
    if (absorbed) expect(perPair("absorbed", "absorbed")).toBe(absorbed);
    // Latents without absorption: all of the cache is unfolded at every step, 2 dc h (dn + dv) FLOPs per cached key.
    if (spec === "MLA") expect(perPair("absorbed", "expanded")).toBe(pair + 2 * dc * h * (dn + dv));
  });

  test("KDA keeps a state whatever the context", () => {
    expect(planned(only("KDA", d, h, 1)).layers[0]!.state).toBe(h * dh * dv + 3 * (3 * h * dh));
  });
});

test.each(paperRows().map((row) => [row.variant, row.parts, row] as const))(
  "kexue.fm/archives/10907: %s (part %s) has the parameters and the cache that are published",
  (_, __, { variant, qoLora, heads, intermediate, published }) => {
    const blueprint = blueprintOf(
      buildModel(`${variant}${qoLora ? "-QOLoRA" : ""}`, { ...essay, heads, intermediate }),
      variant,
    );
    const { parameters, cache } = planned(blueprint);
    expect(Math.round(parameters.total / 1e6)).toBe(published.parameters / 1e6);
    expect(cache.at(waysOf(blueprint).length > 1 ? 1 : 0)!.valuesPerTokenPerLayer).toBe(published.cache);
  },
);

describe("crossovers", () => {
  const alone = (of: { flops: number; bytes: number }, b: Blueprint, more: Partial<PlanSettings> = {}) =>
    planned(b, { context: 131_072, hosts: [host("h", of.flops, of.bytes)], ...more }).machines[0]!;

  test.each([
    ["DeepSeek-V3", r1, 170.7],
    ["GLM-4.7-Flash", glm, 398.2],
    ["Mistral-Small-4", mistral4, 153.6],
    ["MiniCPM3", miniCpm, 85.3],
  ])(
    "with arithmetic alone %s changes form at the chunk of shared/reference/family.md, section 3",
    (_, blueprint, chunk) => {
      const calculator: Host = { name: "arithmetic", measured: false, rates: () => arithmetic };
      const { crossover, decode } = planned(blueprint, { context: 1e9, hosts: [calculator] }).machines[0]!;
      expect(crossover!.prefillChunk).toBeCloseTo(chunk, 1);
      // Over keys and values that are there already, absorbed takes 3.4 times the FLOPs: never.
      expect(crossover!.decodeContext).toBeNull();
      expect(decode[0]).toMatchObject({ cached: "expanded", form: "expanded" });
    },
  );

  /** shared/reference/users.md, section 4: FLOP/s per byte/s from which on absorbed decodes faster. */
  const rule = ({ layers }: Blueprint, step: number, bytes: number, groups = 1) => {
    const { n, r, v, c } = layers[0]!.attention.sizes;
    return (step * groups * 2 * (2 * c + r)) / (bytes * (n + r + v));
  };

  test.each([
    ["DeepSeek-V3, float16", r1, 1, "float16", 3.4],
    ["DeepSeek-V3, float32", r1, 1, "float32", 1.7],
    ["DeepSeek-V3, int8", r1, 1, "int8", 6.8],
    ["DeepSeek-V3, 4 tokens a step", r1, 4, "float16", 13.6],
    ["GLM-4.7-Flash, float16", glm, 1, "float16", 2.1],
  ] as const)(
    "%s: absorbed decodes faster exactly where the machine's balance is above the rule's",
    (_, b, step, cacheType, published) => {
      const bytes = { float16: 2, float32: 4, int8: 1 }[cacheType];
      const balance = rule(b, step, bytes);
      expect(balance).toBeCloseTo(published, 1);
      const at = (flops: number) =>
        alone({ flops, bytes: 1 }, b, { step, cacheType, context: 2 ** 30, weightType: cacheType });
      const above = at(balance * 1.001);
      expect(above.decode[0]!.cached).toBe("absorbed");
      expect(above.crossover!.decodeContext).not.toBeNull();
      const below = at(balance * 0.999);
      expect(below.decode[0]!.cached).toBe("expanded");
      expect(below.crossover!.decodeContext).toBeNull();
    },
  );

  test("H100 and H20 agree about MLA, and differ about 8 groups of 128 heads (GQLA's claim)", () => {
    const gqla = only("GQLA8:n128:r64:v128:c512:q1536", 7168, 128, 61);
    expect(rule(gqla, 1, 2, 128 / 8)).toBeCloseTo(54.4, 1);
    const fastest = (b: Blueprint) => machines.map((machine) => alone(machine, b).decode[0]!.cached);
    const machines = [
      { name: "H100 SXM", flops: 989e12, bytes: 3.35e12 },
      { name: "H20", flops: 148e12, bytes: 4e12 },
      { name: "M4 Max by jax-js", flops: 7e12, bytes: 0.546e12 },
      { name: "plain JS", flops: 1, bytes: 1 },
    ];
    expect(fastest(r1)).toEqual(["absorbed", "absorbed", "absorbed", "expanded"]);
    expect(fastest(gqla)).toEqual(["absorbed", "expanded", "expanded", "expanded"]);
  });
});

describe("steps", () => {
  const experts: Blueprint = {
    ...lite,
    layers: lite.layers.map((kind) => ({
      ...kind,
      feed: { always: 5, expert: 100, experts: 64, chosen: 6, flops: 1000 },
    })),
  };

  test("a step reads the experts that its tokens are expected to visit", () => {
    const sum = (byPart: ByPart) => Object.values(byPart).reduce((all, part) => all + part, 0);
    const reads = (tokens: number) =>
      (sum(parametersRead(experts, { t: 1, s: 1, batch: tokens })) -
        sum(parametersRead(lite, { t: 1, s: 1, batch: tokens }))) /
      27;
    expect(reads(1)).toBeCloseTo(5 + 6 * 100, 6);
    expect(reads(2)).toBeCloseTo(5 + (12 - 36 / 64) * 100, 6);
    expect(reads(1e5)).toBeCloseTo(5 + 64 * 100, 6);
  });

  test("a prefill makes logits of its last token alone, a decoding step those of all its tokens", () => {
    const model = { ...lite, vocabulary: 1000 };
    const flops = (phase: string, b: Blueprint, step: number) =>
      planned(b, { step }).costs.find((row) => row.phase === phase)!.flops;
    expect(flops("prefill", model, 4) - flops("prefill", lite, 4)).toBe(2 * 2048 * 1000);
    expect(flops("decode", model, 4) - flops("decode", lite, 4)).toBe(4 * 2 * 2048 * 1000);
  });

  test("one token reads weights and cache, and the limit that binds is said", () => {
    const machine = (flops: number, bytes: number, op: number): Host => ({
      name: "m",
      measured: false,
      rates: () => roofline({ flops, bytes, op }),
    });
    const hosts = [machine(1e15, 1e12, 0), machine(1e9, 1e12, 0), machine(1e15, 1e12, 1)];
    const made = planned(lite, { hosts, batch: 2 });
    expect(made.machines.map(({ decode }) => decode[0]!.limit)).toEqual(["memory", "compute", "overhead"]);
    const { bytes } = made.costs.find(
      ({ phase, cached, form }) => phase === "decode" && cached === form && form === "absorbed",
    )!;
    const weights = 2 * made.parameters.total;
    expect(bytes).toBe(weights + 2 * 2 * 15_552 * (4097 + 1));
    const { seconds, tokensPerSecond } = made.machines[0]!.decode[0]!;
    // Times leave out what a step writes.
    expect(seconds).toBeCloseTo((weights + 2 * 2 * 15_552 * 4097) / 1e12, 9);
    expect(tokensPerSecond).toBe(2 / seconds);
  });

  test("a prefill in chunks takes the time of its chunks", () => {
    const way = { cached: "absorbed", form: "expanded" } as const;
    const types = { weightType: "float32", cacheType: "float32" } as const;
    const model = { ...lite, vocabulary: 1000 };
    for (const [context, chunk] of [
      [20_000, 1024],
      [1024, 1024],
      [1025, 1024],
      [7 * 512, 512],
      [100, 1],
    ] as const) {
      const steps = prefillSteps(context, 2, chunk);
      expect(steps.reduce((sum, { span, times }) => sum + span.t * times, 0)).toBe(context);
      let seconds = 0;
      for (let from = 0; from < context; from += chunk) {
        const t = Math.min(chunk, context - from);
        const span = { t, s: from + t, batch: 2, logits: from + t === context ? 1 : 0 };
        seconds += stepSeconds(model, way, span, types, { machine: commonMachine, activationBytes: 4 });
      }
      const timing = timingOf(model, way, steps, types, { machine: commonMachine, activationBytes: 4 });
      expect(timing.seconds / seconds).toBeCloseTo(1, 9);
    }
  });

  test("unfolding all of a cache of latents every step is the slowest way to decode", () => {
    const made = planned(r1, { context: 32_768, hosts: [host("H100", 989e12, 3.35e12)] });
    const slowest = made.machines[0]!.decode.at(-1)!;
    expect(slowest).toMatchObject({ cached: "absorbed", form: "expanded" });
    expect(slowest.seconds / made.machines[0]!.decode[0]!.seconds).toBeGreaterThan(10);
  });
});

describe("layouts", () => {
  const laid = (b: Blueprint, ...layouts: string[]) => planned(b, { context: 163_840, layouts }).layouts;

  test("tensor ranks each keep the whole latent of DeepSeek-R1; data and context ranks split it", () => {
    const [tp, dp, cp, both] = laid(r1, "tp8", "dp8", "cp8", "tp4,cp2");
    const latent = 163_840 * 70_272;
    expect(tp).toMatchObject({ ranks: 8, tensor: 8, cacheBytesPerRank: latent, duplicatedCacheBytes: 7 * latent });
    expect(tp!.notes.join()).toContain("the latent is duplicated on each of 8 tensor ranks: 7 x 10.72 GiB");
    expect(dp).toMatchObject({ cacheBytesPerRank: latent, duplicatedCacheBytes: 0 });
    expect(cp).toMatchObject({ cacheBytesPerRank: latent / 8, duplicatedCacheBytes: 0 });
    expect(both).toMatchObject({ ranks: 8, cacheBytesPerRank: latent / 2, duplicatedCacheBytes: 3 * latent });
    const batch = planned(r1, { context: 163_840, batch: 8, layouts: ["dp8"] }).layouts[0]!;
    expect(batch).toMatchObject({ cacheBytesPerRank: latent, duplicatedCacheBytes: 0 });
  });

  test("what has heads is split, what they share is on every rank", () => {
    const { weightBytesPerRank, duplicatedWeightBytes } = laid(r1, "tp8")[0]!;
    const shared = 7168 * 1536 + 1536 + 7168 * 576 + 512;
    const split = 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * 7168;
    expect(weightBytesPerRank).toBe(61 * 2 * (shared + split / 8));
    expect(duplicatedWeightBytes).toBe(61 * 2 * 7 * shared);
  });

  test("groups are split as far as they go, and then duplicated", () => {
    const [eight, sixteen] = laid(only("GQA8", 4096, 32, 32), "tp8", "tp16");
    expect(eight!.duplicatedCacheBytes).toBe(0);
    expect(sixteen!.cacheBytesPerRank).toBe(eight!.cacheBytesPerRank);
    expect(sixteen!.duplicatedCacheBytes).toBe(8 * eight!.cacheBytesPerRank);
    expect(laid(only("GLA2", 2048, 16, 1), "tp2")[0]!.cacheBytesPerRank).toBe(163_840 * 2 * (256 + 64));
  });

  test("experts are split over all ranks, and two all-reduces per layer are sent", () => {
    const feed = { always: 4096, expert: 1000, experts: 16, chosen: 2, flops: 0 };
    const b = { ...r1, layers: r1.layers.map((kind) => ({ ...kind, feed: { ...feed, always: 7168 * 16 } })) };
    const [tp, bare] = [laid(b, "tp8")[0]!, laid(r1, "tp8")[0]!];
    expect(tp.weightBytesPerRank - bare.weightBytesPerRank).toBe(61 * 2 * (7168 * 16 + 2 * 1000));
    // A ring all-reduce sends 2 n (T - 1) / T: twice per layer, and once for the embedding.
    expect(bare.communicationBytesPerStep).toBe(((2 * 61 + 1) * 2 * 7168 * 2 * 7) / 8);
  });

  test.each([
    ["tp3", "a divisor of its 128 heads"],
    ["tp", "tp, dp or cp with a number"],
    ["tp2,tp4", "each at most once"],
    ["tp0", "tp, dp or cp with a number"],
    ["tp8,dp99999", "at most 65536 ranks"],
  ])("%s is refused", (layout, why) => {
    expect(() => laid(r1, layout)).toThrow(ShapeError);
    expect(() => laid(r1, layout)).toThrow(why);
  });
});

describe("matching", () => {
  test("sizes meet a cache from below, and their specs are read back", () => {
    const found = matchFamily(parseTarget("cache=512"), { width: 2048, heads: 16 });
    const sizes = found.flatMap((row) => ("reason" in row ? [] : [row]));
    expect(sizes.length).toBeGreaterThan(20);
    for (const row of sizes) {
      const blueprint = only(row.spec, 2048, 16, 1);
      const declared = planned(blueprint).cache.at(waysOf(blueprint).length > 1 ? 1 : 0)!;
      expect([row.spec, declared.valuesPerTokenPerLayer]).toEqual([row.spec, row.cacheValues]);
      expect(row.share).toBe(row.cacheValues / 512);
      expect(row.share).toBeLessThanOrEqual(1);
    }
    // The essay's own pairs of equal cache.
    const specs = sizes.map(({ spec }) => spec);
    expect(specs).toContain("GQA1-256:r256:v256");
    expect(specs).toContain("GQA2-(192+64)-S2:n192:r64:v256");
    expect(specs).toContain("MLA:n128:r64:v128:c448");
    expect(found.find(({ spec }) => spec === "KDA")).toMatchObject({ reason: expect.stringContaining("state") });
  });

  test.each([
    ["flops=16384", "MLA-256", 16_384],
    ["parameters=9437184", "GQA2-128", 9_437_184],
    ["decode=4194304", "MQA", 4_194_304],
  ])("%s", (target, spec, value) => {
    const [row] = matchFamily(parseTarget(target), { width: 2048, heads: 16 }, [spec]);
    expect(row).toMatchObject({ value, share: 1 });
  });

  test("what cannot be met says why", () => {
    const [gta] = matchFamily(parseTarget("cache=100"), { width: 2048, heads: 16 }, ["GTA4"]);
    expect(gta).toMatchObject({ reason: expect.stringContaining("no size is smaller") });
    const [odd] = matchFamily(parseTarget("cache=100"), { width: 2048, heads: 15 }, ["GQA2-128"]);
    expect(odd).toMatchObject({ reason: expect.stringContaining("divide the heads") });
    expect(() => parseTarget("speed=3")).toThrow("cache, parameters, flops, decode");
  });
});

test("settings that make no sense are refused", () => {
  for (const wrong of [{ context: 0 }, { context: 1.5 }, { batch: -1 }, { step: Number.NaN }, { context: 2 ** 50 }])
    expect(() => plan(lite, { ...settings, ...wrong })).toThrow(ShapeError);
  expect(() => plan(lite, { ...settings, cacheType: "int2" as never })).toThrow('cacheType got "int2"');
  expect(() => plan(lite, { ...settings, weightType: "int2" as never })).toThrow('weightType got "int2"');
});

test("the published schema has the keys that others rely on", () => {
  const { properties, title } = planJsonSchema() as { title: string; properties: Record<string, unknown> };
  expect(title).toBe("biform plan");
  for (const key of ["parameters", "cache", "engines", "weights", "machines", "layouts", "costs"])
    expect(properties).toHaveProperty(key);
});
