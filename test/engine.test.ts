import { expect, test } from "vitest";
import { parseSpec } from "../src/attention/spec.ts";
import { cacheBytes, formsOf, valuesPerLayer } from "../src/cost/cost.ts";
import { type EngineRow, engines, enginesOf, partsOf } from "../src/plan/engine/known.ts";
import { lineOf } from "../src/plan/engine/part.ts";
import { startOf } from "../src/plan/engine/start.ts";
import { type PlanSettings, plan } from "../src/plan/plan.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);
const rows = (name: string, context = 1) => enginesOf(blueprint(name), "float16", { context });
const named = (list: readonly EngineRow[], engine: string, version = "") =>
  list.filter((row) => row.engine === engine && row.version.includes(version));

// What was read in the engines' sources and issues; DeepSeek-V3's heads are 128 x (128 + 64 | 128), its latents 512 + 64.
test.each([
  ["deepseek-r1", "vLLM", "0.7.1 and later", 576],
  ["deepseek-r1", "vLLM", "before 0.7.1", 2 * 128 * 192],
  ["deepseek-r1", "llama.cpp", "since 2026", 576],
  ["deepseek-r1", "llama.cpp", "2025-04 to", 1088],
  ["deepseek-r1", "llama.cpp", "before 2025", 40_960],
  ["deepseek-r1", "transformers", "before", 40_960],
  ["deepseek-r1", "transformers", "since", 576],
  ["deepseek-r1", "transformers.js", "", 2 * 128 * 192],
  ["deepseek-v2-lite", "mlx-lm", "", 5120],
  ["deepseek-v3", "mlx-lm", "", 576],
  ["minicpm3-4b", "mlx-lm", "", 6400],
  ["minicpm3-4b", "llama.cpp", "", 6400],
  ["minicpm3-4b", "vLLM", "", 7680],
  ["minicpm3-4b", "SGLang", "", 288],
  ["deepseek-v3.2", "transformers", "", 40_960 + 128],
] as const)("%s in %s %s: %i numbers per token and layer", (name, engine, version, values) => {
  const [row, ...more] = named(rows(name), engine, version);
  expect(more).toEqual([]);
  expect(row!.valuesPerTokenPerLayer).toBe(values);
});

test("float8 rows are FlashMLA's 656 bytes, and an indexer's key of 128 with its scale", () => {
  const [row] = named(rows("deepseek-v3.2"), "vLLM, FlashMLA");
  expect(row!.bytesPerToken).toBe(61 * (656 + 132));
});

test("R1 at 163,840 tokens: 10.72 GiB, 20.25 where the latent is kept twice, 762.5 unfolded", () => {
  const list = rows("deepseek-r1", 163_840);
  const gibibytes = (version: string) => named(list, "llama.cpp", version)[0]!.bytes / 2 ** 30;
  expect(gibibytes("since 2026")).toBeCloseTo(10.72, 2);
  expect(gibibytes("2025-04 to")).toBeCloseTo(20.25, 2);
  expect(gibibytes("before 2025")).toBeCloseTo(762.5, 1);
});

test("Biform's rows are those of the cost functions", () => {
  for (const name of ["deepseek-v2-lite", "minicpm3-4b", "glm-4.7-flash", "youtu-llm-2b", "deepseek-v3.2"]) {
    const [latent, unfolded] = named(rows(name, 5000), "Biform");
    expect(latent!.bytes).toBe(cacheBytes(blueprint(name), "absorbed", "float16", 5000));
    // What heads share is kept once: less than engines' layout by the rotary key of all heads but one.
    const { sizes } = blueprint(name).layers[0]!.attention;
    expect(unfolded!.valuesPerTokenPerLayer).toBe(
      valuesPerLayer(blueprint(name), "expanded") - (sizes.h - 1) * sizes.r,
    );
  }
});

test("a variant of no public model has Biform's rows alone, from its own declaration", () => {
  const attention = parseSpec("GLA2", { width: 2048, heads: 16 });
  const layer = { count: 2, attention, feed: { always: 0, expert: 0, experts: 0, chosen: 0, flops: 0 }, extra: 0 };
  const spec = {
    name: "GLA2",
    architecture: "spec",
    vocabulary: 1,
    width: 2048,
    tied: true,
    layers: [layer],
    extra: 0,
  };
  const list = enginesOf(spec, "float32");
  expect(list.map(({ engine }) => engine)).toEqual(["Biform", "Biform"]);
  expect(list[0]!.valuesPerTokenPerLayer).toBe(valuesPerLayer(spec, "absorbed"));
});

test("windows: some engines keep what is behind them, some do not, and each rounds in its own way", () => {
  const bytes = (context: number, engine: string, version = "") =>
    named(rows("gemma-3-27b", context), engine, version)[0]!.bytes;
  // 52 layers of 1,024 tokens and 10 of all, 2 x 16 x 128 numbers of 2 bytes each.
  const layer = 8192;
  expect(bytes(131_072, "transformers, TensorRT-LLM")).toBe(layer * (52 * 1024 + 10 * 131_072));
  expect(bytes(131_072, "ik_llama.cpp")).toBe(layer * 62 * 131_072);
  // Room for a batch of 512 beside the window; 5,000 tokens in 5,120 cells.
  expect(bytes(131_072, "llama.cpp", "since 2025-05")).toBe(layer * (52 * 1536 + 10 * 131_072));
  expect(bytes(5000, "llama.cpp", "since 2025-05")).toBe(layer * (52 * 1536 + 10 * 5120));
  // Groups of ten layers, six of them with windows; 1,023 tokens before the newest lie in up to 65 blocks of 16.
  expect(bytes(131_072, "vLLM")).toBe(layer * 10 * 16 * (131_072 / 16 + 6 * 65));
});

test("a + b S: what does not grow, and what a token adds when windows are full", () => {
  const [vllm] = named(rows("qwen3-next-80b-a3b"), "vLLM");
  // 544 tokens of 2,048 bytes are the least that hold a state of 1,097,728; twelve layers a group, three groups of states, two states each.
  expect(vllm!.fixedBytes).toBe(36 * 2 * 544 * 2048);
  expect(vllm!.bytesPerToken).toBeCloseTo(12 * 2048, 6);
  const [llama] = named(rows("gemma-3-27b"), "llama.cpp", "since 2025-05");
  expect(llama!.fixedBytes).toBe(8192 * 52 * 1536);
  expect(llama!.bytesPerToken).toBe(8192 * 10);
});

test("the longest context on a machine is where an engine's own steps end", () => {
  // 16 GiB of gemma-3-27b's cache: 10 layers that grow by 256 cells, after 52 with 1,536 cells each.
  // Beside them llama.cpp has logits and two hidden states of a batch of 512 in float32.
  const { vocabulary, width } = blueprint("gemma-3-27b");
  const compute = 4 * 512 * (vocabulary + 2 * width);
  const rooms = [{ machine: "one", room: 2 ** 34 + compute }];
  const list = enginesOf(blueprint("gemma-3-27b"), "float16", { rooms });
  const [llama] = named(list, "llama.cpp", "since 2025-05");
  const cells = Math.floor((2 ** 34 / 8192 - 52 * 1536) / 10);
  expect(llama!.longestContext).toEqual([{ machine: "one", tokens: 256 * Math.floor(cells / 256) }]);
  expect(llama!.computeBytes).toBe(compute);
  const [whole] = named(list, "ik_llama.cpp");
  expect(whole!.longestContext[0]!.tokens).toBe(256 * Math.floor((2 ** 34 + compute) / 8192 / 62 / 256));
  expect(
    named(enginesOf(blueprint("gemma-3-27b"), "float16", { rooms: [{ machine: "full", room: 0 }] }), "vLLM")[0]!
      .longestContext[0]!.tokens,
  ).toBe(0);
});

test("what an engine has no type for is left out, and scales count", () => {
  const r1 = blueprint("deepseek-r1");
  const engines = (type: Parameters<typeof enginesOf>[1]) => enginesOf(r1, type).map(({ engine }) => engine);
  expect(engines("float16")).toContain("llama.cpp");
  expect(engines("float8")).not.toContain("llama.cpp");
  // 576 numbers in 18 blocks of 34 bytes; in 9 groups of 64 with a scale and an offset of 2 bytes each.
  const perToken = (engine: string) => named(enginesOf(r1, "int8"), engine)[0]!.bytesPerToken;
  expect(perToken("llama.cpp")).toBe(61 * 18 * 34);
  expect(perToken("mlx-lm")).toBe(61 * (576 + 9 * 4));
});

test("ranks share out heads and whole caches, and hold the rest once each", () => {
  const of = (name: string, settings: object) => {
    const known = engines.find(({ engine, covers }) => engine === "vLLM" && covers(blueprint(name)))!;
    return lineOf(partsOf(known, blueprint(name), settings)!).perToken;
  };
  const alone = of("llama-3.1-8b", {});
  expect(of("llama-3.1-8b", { tensor: 8 })).toBe(alone / 8);
  // Eight heads: sixteen ranks hold each twice.
  expect(of("llama-3.1-8b", { tensor: 16 })).toBe(alone / 8);
  expect(of("deepseek-r1", { tensor: 8 })).toBe(of("deepseek-r1", {}));
  expect(of("deepseek-r1", { tensor: 8, context: 8 })).toBe(of("deepseek-r1", {}) / 8);
});

const partsIn = (name: string, version: string, settings: object = {}) =>
  partsOf(
    engines.find((known) => known.version.includes(version) && known.covers(blueprint(name)))!,
    blueprint(name),
    settings,
  )!;

test("DeepSeek-V4 in vLLM: the pages that were printed (vllm-project/vllm#54703)", () => {
  const parts = partsIn("deepseek-v4-flash", "fp8_ds_mla");
  // 21 x (37,440 + 8,640) of entries of four tokens with index keys, 20 x 1,728 of 128 tokens: the widest group of those printed.
  const block = 1_002_240;
  expect(new Set(parts.map(({ bytes }) => bytes))).toEqual(new Set([block]));
  // 43 windows in groups of 22 and 21, three blocks of 64 each; states of 8 tokens in blocks of 4, of 128 in blocks of 8.
  const full = (what: string) => parts.filter((part) => part.what === what).map(({ cells }) => cells(1e6));
  expect(full("window")).toEqual([2 * 3]);
  expect(full("state").toSorted((a, b) => a - b)).toEqual([3, 17]);
  expect(full("cache")).toEqual([Math.ceil(1e6 / 256)]);
  expect(lineOf(parts)).toEqual({ fixed: 26 * block, perToken: block / 256 });
});

test("GLM-5.3-Flash in vLLM: a block is raised until a page of latents holds a state", () => {
  // Two ranks and three drafts: a state of 147,456 + 2,097,152 bytes in a page of 3,584 rows of 656 bytes, 118,272 of index keys.
  const [cache, state] = partsIn("glm-5.3-flash", "2026-09, fp8", { tensor: 2, drafts: 3 });
  expect(cache!.bytes).toBe(11 * (2_351_104 + 118_272));
  expect(1 / cache!.rate).toBe(3584);
  // 34 layers in groups of 11, two states each where prefixes are kept, and one block for pools that are open.
  expect(state!.cells(1)).toBe(4 * 2 + 1);
});

test("Hy4 in vLLM: an index key of 132 bytes in the layers that choose, none where another's choice is read", () => {
  expect(lineOf(partsIn("hy4-preview", "2026-09")).perToken).toBe(78 * 576 * 2 + 21 * 132);
  expect(lineOf(partsIn("sarvam-105b", "0.33 (as read)")).perToken).toBe(32 * 576 * 2);
});

test("how engines are started is read from their own flags, and refused where it makes no sense", () => {
  expect(startOf("--engine", "np=4, ctk=Q8_0,ctv=f16,ub=2048,swa-full")).toEqual({
    sequences: 4,
    keyType: "q8_0",
    valueType: "float16",
    batchTokens: 2048,
    wholeWindows: true,
  });
  expect(startOf("--engine", "tp=8,cp=2,drafts=0,no-prefixes,unified")).toEqual({
    tensor: 8,
    context: 2,
    drafts: 0,
    prefixes: false,
    unified: true,
  });
  for (const [text, words] of [
    ["", /--engine: got "", expected some of np=4/],
    ["np", /--engine np: got "", expected a whole number from 1/],
    ["np=0", /--engine np: got "0"/],
    ["tp=1.5", /--engine tp: got "1.5"/],
    ["ub=99999999", /--engine ub: got "99999999"/],
    ["ctk=q9", /--engine ctk: got "q9", expected f16/],
    ["np=4,np=8", /--engine: got np twice/],
    ["unified=1", /--engine unified: got "1", expected nothing/],
    ["np=4=5", /--engine: got "np=4=5"/],
    ["__proto__=4", /--engine: got "__proto__=4"/],
  ] as const)
    expect(() => startOf("--engine", text), text).toThrow(words);
});

test("a row follows how its engine is started", () => {
  const bytes = (start: object) => {
    const rows = enginesOf(blueprint("gemma-3-27b"), "float16", { context: 32_768, start });
    return named(rows, "llama.cpp", "since 2025-05")[0]!;
  };
  // Keys and values of a layer and token: 2 x 2,048 numbers; 34 bytes for 32 in q8_0. Windows of 1,024 and a batch, in four slots.
  const { bytes: kept, computeBytes } = bytes({ sequences: 4, keyType: "q8_0", batchTokens: 2048 });
  expect(kept).toBe(4 * (2048 * 2 + (2048 / 32) * 34) * (52 * 3072 + 10 * 32_768));
  expect(computeBytes).toBe(4 * bytes({}).computeBytes!);
});

test("latents behind a window are dropped too", () => {
  const whole = blueprint("deepseek-v2-lite");
  const layers = whole.layers.map((kind) => ({ ...kind, attention: { ...kind.attention, window: 64 } }));
  const [latent] = named(enginesOf({ ...whole, layers }, "float16", { context: 4096 }), "Biform");
  expect(latent!.bytes).toBe(27 * 576 * 64 * 2);
});

const asked: PlanSettings = {
  context: 4096,
  batch: 1,
  step: 1,
  weightType: "file",
  cacheType: "float16",
  hosts: [],
  layouts: [],
};

test("an engine that does not know a model is said to, and has no row of it", () => {
  for (const name of [...untold, "rwkv7-1.5b", "solar-open-100b", "plm-1.8b", "youtu-llm-2b"]) {
    const { notes, engines } = plan(blueprint(name), asked);
    expect(notes.at(-1)).toMatch(/^vLLM 0\.33 has no class of its own for [AMLRSPY]/);
    expect(engines.filter(({ engine }) => engine.startsWith("vLLM"))).toEqual([]);
  }
});

/** Latent models of which no engine's allocation is known yet. */
const untold = ["a.x-k2-light", "longcat-flash-lite-sparse", "motif-3-beta"];

test("every preset has rows, each with a source, whose bytes grow with the batch", () => {
  for (const { name } of presets) {
    const list = rows(name, 4096);
    if (untold.includes(name)) {
      expect(list).toEqual([]);
      continue;
    }
    expect(list.length, name).toBeGreaterThan(0);
    const twice = enginesOf(blueprint(name), "float16", { context: 4096, batch: 2 });
    for (const [i, row] of list.entries()) {
      expect(row.source.length).toBeGreaterThan(8);
      // A spare page is there once, however many sequences there are.
      expect(twice[i]!.bytes).toBeLessThanOrEqual(2 * row.bytes);
      expect(twice[i]!.bytes).toBeGreaterThan(1.96 * row.bytes);
      expect(row.bytes).toBeGreaterThan(0);
    }
    if (formsOf(blueprint(name)).length > 1) continue;
    const [exact] = list.filter(({ version }) => version === "those that run it");
    expect(exact!.bytes).toBe(cacheBytes(blueprint(name), "expanded", "float16", 4096));
  }
});
