import { describe, expect, test } from "vitest";
import { cacheOf, stateValues } from "../src/attention/define.ts";
import { blueprintOf, countParameters } from "../src/cost/blueprint.ts";
import { familyOf } from "../src/family/families.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { FormatError } from "../src/tensor/error.ts";
import { ling } from "./fixture/checkpoint.ts";
import type { Json } from "./fixture/plain.ts";

// Ling 2.5 and Ling 3 share one model_type; what tells them apart is the architecture and the keys of KDA, any of which may be left out.

const delta = ["no_kda_lora", "kda_safe_gate", "kda_lower_bound", "short_conv_kernel_size", "linear_attention"];
const without = (config: Json, ...keys: string[]): Json =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));
const plan = (config: Json) => blueprintOfConfig(config, "x");
const kinds = (config: Json) => plan(config).layers.map(({ attention, count }) => `${count} ${attention.variant.name}`);

describe("a config under Ling's model_type is planned", () => {
  const said = { ...ling, linear_attention: "kda" };
  test.each<[string, Json]>([
    ["with both", said],
    ["by its architecture alone", without(said, ...delta)],
    ["by all keys of KDA", without(said, "architectures")],
    ...delta.map((key): [string, Json] => [
      `by ${key} alone`,
      without(said, "architectures", ...delta.filter((k) => k !== key)),
    ]),
  ])("as Ling 3 %s", (_what, config) => {
    // Groups of 3, of which the last layer is MLA; the fourth layer fills no group.
    expect(kinds(config).sort()).toEqual(["1 KDA", "1 KDA", "2 MLA"].sort());
  });

  test("as Ling 2.5 where neither is there", () => {
    expect(kinds(without(ling, "architectures", ...delta))).toContain("2 MLA");
    expect(kinds(without(ling, "architectures", ...delta)).join()).toContain("Lightning");
    const second = { ...without(ling, ...delta), architectures: ["BailingMoeV2_5ForCausalLM"] };
    expect(kinds(second).join()).toContain("Lightning");
  });

  test.each<[string, Json]>([
    ["architectures", { ...ling, architectures: ["BailingMoeV2_5ForCausalLM"] }],
    ["architectures", { ...ling, linear_attention: "lightning" }],
    ["short_conv_kernel_size", { ...ling, short_conv_kernel_size: 99 }],
    ["gated_attention_proj_granularity_type", { ...ling, gated_attention_proj_granularity_type: "row" }],
    ["head_dim", { ...ling, head_dim: null }],
  ])("not where %s is at odds or no size", (key, config) => {
    expect(() => plan(config)).toThrow(FormatError);
    expect(() => plan(config)).toThrow(new RegExp(`^${key}: got .+, expected .+; `));
  });

  test.each<[string, Json]>([
    ["as it is", ling],
    ["with gates for each number", { ...ling, gated_attention_proj_granularity_type: "element_wise" }],
    ["without gates in MLA", { ...ling, gated_attention_proj_granularity_type: null }],
    ["with bottlenecks", { ...ling, no_kda_lora: false, kda_lower_bound: -2 }],
  ])("with the parameters, states and latents that run: %s", (_what, config) => {
    const [planned, ran] = [plan(config), blueprintOf(familyOf("bailing_hybrid")!.model(config), "x")];
    expect(countParameters(planned)).toEqual(countParameters(ran));
    const kept = ({ layers }: typeof planned) =>
      layers.map(({ count, attention: { variant, sizes } }) => [
        count,
        cacheOf(variant, sizes),
        stateValues(variant, sizes),
      ]);
    expect(kept(planned)).toEqual(kept(ran));
  });
});
