import { describe, expect, test } from "vitest";
import { countParameters } from "../src/cost/blueprint.ts";
import { architectureOf, blueprintOfConfig } from "../src/plan/read/config.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { type KnownConfig, readConfigs } from "./corpus/configs/read.ts";

// Real configs, each with the parameters that transformers itself gives its model: a reader that takes a key for another, or refuses
// one that decides of nothing, shows here.

/** Where the count is another by right: numbers more than transformers has, and why. */
const differs: Readonly<Record<string, readonly [more: number, why: string]>> = {
  "deepseek-ai/DeepSeek-V4-Flash": [
    -3 * 6 * 129_280,
    "tables of the first three routers, which hold numbers of experts",
  ],
  "nvidia/DeepSeek-V4-Flash-NVFP4": [-3 * 6 * 129_280, "as DeepSeek-V4-Flash"],
  "deepseek-ai/DeepSeek-V4-Pro": [-3 * 6 * 129_280, "as DeepSeek-V4-Flash"],
  deepseek_v4: [-3 * 6 * 129_280, "as DeepSeek-V4-Flash"],
  "stepfun-ai/Step-3.7-Flash": [81 * 2 * 4096, "the class takes its own vocabulary where a config has no text_config"],
  "Qwen/Qwen3.8-Flash-Next": [-(1536 * 160 + 35), "rows of a table up to the next prime, and numbers that hash"],
  longcat_flash: [
    -28 * 256 * 2 * 2048 * 6144,
    "the class has gates for the 256 experts that do nothing, checkpoints do not",
  ],
  ernie4_5_vl_moe: [
    27 * 64 * (3 * 2560 * 512 + 2560 + 1) - 144_225_280,
    "experts of images and their routers, which stand in the language's layers; the count has the resampler before them",
  ],
  minimax: [-16 * 32 * (256 * 256 + 2 * 256 + 1), "decays within a block of 256 tokens, which are computed"],
  gemma3n_text: [15 * (2 * 2048 * 512 + 256), "checkpoints have keys and values of layers that borrow them"],
};

/** Known types whose class has no whole model among its defaults: the key that is missing. */
const partial: Readonly<Record<string, RegExp>> = {
  deepseek_v2: /num_experts_per_tok: got nothing/,
  glm4_moe: /head_dim: got nothing, and hidden_size 4096 is no multiple of 96 heads/,
  glm4v_moe: /head_dim: got nothing, and hidden_size 4096 is no multiple of 96 heads/,
  qwen3_omni_moe_thinker: /head_dim: got nothing, and hidden_size 2048 is no multiple of 28 heads/,
};

const typeOf = ({ config }: KnownConfig): unknown =>
  (config.text_config as KnownConfig["config"] | undefined)?.model_type ?? config.model_type;

const all = [...readConfigs("hub"), ...readConfigs("transformers")];
const read = (one: KnownConfig) => {
  try {
    return blueprintOfConfig(one.config, one.name);
  } catch (error) {
    if (error instanceof FormatError || error instanceof ShapeError) return error;
    throw error;
  }
};

describe.each(all.map((one) => [one.name, one] as const))("%s", (name, one) => {
  const found = read(one);
  if (found instanceof Error)
    test("is refused by the name of a key, and for no other reason than a type that is not known", () => {
      const [key] = /^[\w.]+(?=: got)/.exec(found.message) ?? [];
      expect(key, found.message).toBeDefined();
      if (partial[name]) expect(found.message).toMatch(partial[name]);
      else expect(architectureOf(typeOf(one)), found.message).toBeUndefined();
    });
  else
    test("has the parameters that transformers counts", () => {
      const [more] = differs[name] ?? [0];
      expect(partial[name]).toBeUndefined();
      if (one.parameters !== undefined) expect(countParameters(found).total - one.parameters).toBe(more);
      expect(JSON.stringify(found)).not.toMatch(/NaN|null/);
    });
});

describe("a file that transformers loaded and saved has its publisher's words and transformers' own", () => {
  const hub = (name: string) => readConfigs("hub").find((one) => one.name === name)!.config;
  const kimi = hub("moonshotai/Kimi-K3").text_config as Record<string, unknown>;
  const mimo = hub("XiaomiMiMo/MiMo-V2-Flash");
  const linear = kimi.linear_attn_config as { kda_layers: number[]; num_heads: number; head_dim: number };
  const kinds = Array.from({ length: 93 }, (_, i) =>
    linear.kda_layers.includes(i + 1) ? "linear_attention" : "full_attention",
  );
  const sizes = { linear_num_heads: linear.num_heads, linear_head_dim: linear.head_dim };
  const swaps = (mimo.hybrid_layer_pattern as number[]).map((one) => (one ? "sliding_attention" : "full_attention"));
  test("which agree", () => {
    expect(blueprintOfConfig({ ...kimi, ...sizes, layer_types: kinds }, "m")).toEqual(blueprintOfConfig(kimi, "m"));
    const saved = { ...mimo, layer_types: swaps, sliding_window: 129 };
    expect(countParameters(blueprintOfConfig(saved, "m"))).toEqual(countParameters(blueprintOfConfig(mimo, "m")));
  });
  test("or one of them is refused by its name", () => {
    expect(() => blueprintOfConfig({ ...kimi, layer_types: kinds.toReversed() }, "m")).toThrow(/^layer_types: got/);
    expect(() => blueprintOfConfig({ ...kimi, ...sizes, linear_head_dim: 64, layer_types: kinds }, "m")).toThrow(
      /layer_types|linear_head_dim/,
    );
    expect(() => blueprintOfConfig({ ...mimo, layer_types: swaps.toReversed() }, "m")).toThrow(/layer_types: got/);
  });
});

test("the corpus is wide: types of this year, and most of them are planned", () => {
  expect(new Set(all.map(typeOf)).size).toBeGreaterThan(150);
  expect(readConfigs("hub").length).toBeGreaterThan(60);
  expect(all.filter((one) => !(read(one) instanceof Error)).length).toBeGreaterThan(120);
});
