import { expect, test } from "vitest";
import type { Blueprint } from "../src/cost/blueprint.ts";
import { plan } from "../src/plan/plan.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import type { Plan } from "../src/plan/schema.ts";
import { besideGrid, keepingText, layersGrid } from "../src/plan/show/layer.ts";

const blueprintOf = (name: string, changes: object = {}) =>
  blueprintOfConfig({ ...presetOf(name)!.config, ...changes }, name);
const planOf = (blueprint: Blueprint) =>
  plan(blueprint, {
    context: 8192,
    batch: 1,
    step: 1,
    weightType: "bfloat16",
    cacheType: "float16",
    hosts: [],
    layouts: [],
  });

/** The text of each cell, row by row. */
const rowsOf = (html: string) =>
  [...html.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) =>
      cell!.replace(/<br>/g, " / ").replace(/<[^>]*>/g, ""),
    ),
  );

test("what keeps entries otherwise than one a token is said in words", () => {
  expect(keepingText({})).toBe("");
  expect(keepingText({ window: 4096 })).toMatch(/^the last 4.096 tokens$/);
  expect(keepingText({ keeping: { every: 4, recent: 128, indexEvery: 4, indexOwner: 2 } })).toBe(
    "one for 4 tokens, the last 128 whole; an index key for 4 tokens; reads the index keys of layer 2",
  );
  // The first layer is a layer too.
  expect(keepingText({ keeping: { owner: 0 } })).toBe("reads the entries of layer 0");
});

test("a state is told in bytes and by its parts, and its column is only where there is one", () => {
  const hybrid = planOf(blueprintOf("kimi-linear-48b-a3b"));
  const [heads, ...rows] = rowsOf(layersGrid(hybrid));
  const [kda, mla] = ["KDA", "MLA"].map((name) => rows.find(([layers]) => layers!.includes(`× ${name} `))!);
  // 32 heads of 128 by 128, and the last three inputs of three convolutions of 4096, in float32.
  expect(hybrid.layers[0]!.state).toBe(32 * 128 * 128 + 3 * 3 * 4096);
  expect(kda!.at(-2)).toBe("2.14 MiB / memory 524k, tailQ 12.3k, tailK 12.3k, tailV 12.3k");
  expect(kda![1]).toBe("none");
  expect([mla![1], mla!.at(-2)]).toEqual(["one for every token", "–"]);
  expect(heads).toHaveLength(6);
  expect(rowsOf(layersGrid(planOf(blueprintOf("llama-3.1-8b"))))[0]).toHaveLength(4);
});

test("draft layers and tables are rows of their own, and there is no table of none", () => {
  const drafted = { ...blueprintOf("deepseek-r1"), draft: { name: "<mtp>", layers: [], extra: 5 } };
  const [layer] = blueprintOf("deepseek-r1").layers;
  const found = planOf({ ...drafted, draft: { ...drafted.draft, layers: [{ ...layer!, count: 1 }] } });
  const rows = rowsOf(besideGrid(found)).slice(1);
  expect(rows.map(([first]) => first)).toEqual(["&lt;mtp&gt; / 1 layer, expanded", "&lt;mtp&gt; / 1 layer, absorbed"]);
  const { bytes } = (found.draft as NonNullable<Plan["draft"]>).cache.find(
    ({ form, dtype }) => form === "absorbed" && dtype === "float16",
  )!;
  expect(bytes).toBe(576 * 2 * 8192);
  expect(rows[1]![4]).toBe("9 MiB / 1.13 KiB/token");
  expect(rowsOf(besideGrid(planOf(blueprintOf("gemma-3n-e4b")))).slice(1)).toEqual([
    ["embeddings per layer / may lie in the host&#39;s memory", "2.35B", "8.96k", "–", "–"],
  ]);
  expect(besideGrid(planOf(blueprintOf("llama-3.1-8b")))).toBe("");
});
