import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type EngineSettings, usual } from "../src/plan/engine/engine.ts";
import { engines } from "../src/plan/engine/known.ts";
import type { LayerRows } from "../src/plan/engine/layer.ts";
import { leastCompute } from "../src/plan/engine/llamacpp.ts";
import { bytesAt, longestIn, type Part } from "../src/plan/engine/part.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";

// What engines printed, in conformance/engines.json, against what their models in src/plan/engine say: to the last digit of the print.

const printed = z.partialRecord(z.enum(["cache", "window", "index", "state", "total"]), z.array(z.number()));
const record = z.strictObject({
  engine: z.string(),
  version: z.string(),
  source: z.string(),
  model: z.strictObject({
    name: z.string(),
    architecture: z.string().optional(),
    layers: z.array(z.custom<LayerRows>()).optional(),
  }),
  settings: z.strictObject({
    context: z.int(),
    sequences: z.int().optional(),
    unified: z.boolean().optional(),
    batchTokens: z.int().optional(),
    wholeWindows: z.boolean().optional(),
    tensor: z.int().optional(),
    keyType: z.string().optional(),
    valueType: z.string().optional(),
  }),
  mebibytes: printed.optional(),
  gibibytes: printed.optional(),
  computeMebibytes: z.number().optional(),
  pool: z
    .strictObject({
      gibibytes: z.number().optional(),
      tokens: z.int().optional(),
      concurrency: z.number().optional(),
      block: z.int().optional(),
      blockBytes: z.int().optional(),
      requestBlocks: z.int().optional(),
    })
    .optional(),
  difference: z.string().optional(),
});
type Log = z.infer<typeof record>;

const file = z
  .strictObject({ format: z.literal("biform engines 1"), logs: z.array(record) })
  .parse(JSON.parse(readFileSync(new URL("../conformance/engines.json", import.meta.url), "utf8")));

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);

/** What the first of the engines of this name, the newest, allocates for what the log is of. */
function partsOfLog({ engine, version, model, settings }: Log): Part[] {
  const { context: _, ...asked } = settings;
  const started = { ...usual, ...(asked as Partial<EngineSettings>) };
  if (model.layers) {
    const { parts } = engines.find((known) => known.engine === engine)!;
    return parts(model.layers, started, model.architecture ?? "")!;
  }
  const machine = / on (\w+)$/.exec(version)?.[1] ?? "";
  const known = engines.find(
    (row) => row.engine === engine && row.covers(blueprint(model.name)) && row.version.includes(machine),
  );
  // ik_llama.cpp lays a model without latents out as llama.cpp does.
  const { rows, parts } = known ?? engines.find(({ version }) => version === "since 2025-05")!;
  return parts(rows(blueprint(model.name)), started, blueprint(model.name).architecture)!;
}

const title = ({ engine, version, model, settings: { context, ...rest } }: Log) =>
  `${engine} ${version}: ${model.name}, ${context} tokens ${JSON.stringify(rest)}`;
/** What each token leaves in the parts that indexers keep. */
const indexOf = (parts: readonly Part[]) =>
  parts.filter(({ what }) => what === "index").map(({ bytes, rate }) => bytes * rate);
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

describe("bytes as they were printed", () => {
  test.each(
    file.logs.filter(({ mebibytes, gibibytes }) => mebibytes ?? gibibytes).map((log) => [title(log), log] as const),
  )("%s", (_, log) => {
    const parts = partsOfLog(log);
    const { context, sequences = 1 } = log.settings;
    // llama.cpp's context is that of all slots.
    const tokens = Math.floor(context / sequences);
    const unit = log.mebibytes ? 2 ** 20 : 2 ** 30;
    const lines = Object.entries(log.mebibytes ?? log.gibibytes!);
    for (const [what, numbers] of lines) {
      const mine = bytesAt(
        parts.filter((part) => what === "total" || part.what === what),
        tokens,
      );
      expect(Math.abs(mine / unit - sum(numbers)), what).toBeLessThanOrEqual(0.005 * numbers.length + 1e-9);
    }
  });
});

describe("pools: the most blocks that fit, and the tokens that they are said to hold", () => {
  test.each(file.logs.filter(({ pool }) => pool).map((log) => [title(log), log] as const))("%s", (_, log) => {
    const parts = partsOfLog(log);
    const { gibibytes, tokens, concurrency, block, blockBytes: printed, requestBlocks } = log.pool!;
    const growing = parts.filter(({ what }) => what === "cache");
    const paged = growing.every(({ rate }) => rate < 1);
    if (block !== undefined && paged) expect(Math.round(1 / growing[0]!.rate)).toBe(block);
    if (printed !== undefined) {
      const grown = Math.round(block! * sum([...growing.map(({ bytes, rate }) => bytes * rate), ...indexOf(parts)]));
      expect(grown).toBe(printed);
      expect(bytesAt(parts, log.settings.context) / printed).toBe(requestBlocks);
      if (!paged) expect(bytesAt(parts, 1)).toBe(printed);
    }
    if (gibibytes === undefined || tokens === undefined) return;
    const blockBytes = paged ? growing[0]!.bytes : 16 * sum(growing.map(({ bytes }) => bytes));
    const { context } = log.settings;
    const request = bytesAt(parts, context);
    const least = Math.floor(((gibibytes - 0.005) * 2 ** 30) / blockBytes);
    const most = Math.floor(((gibibytes + 0.005) * 2 ** 30) / blockBytes);
    const counts = Array.from({ length: most - least + 1 }, (_, i) => least + i);
    const held = counts.map((blocks) => Math.floor(((blocks * blockBytes) / request) * context));
    if (log.difference) expect(held).not.toContain(tokens);
    else expect(paged ? held : counts.map((blocks) => 16 * blocks)).toContain(tokens);
    if (concurrency !== undefined) expect((tokens / context).toFixed(2)).toBe(concurrency.toFixed(2));
  });
});

test("compute buffers on the CPU are never below logits and two hidden states of a batch, and often just these", () => {
  const told = file.logs.filter(({ computeMebibytes, model }) => computeMebibytes !== undefined && !model.layers);
  const least = told.map(
    ({ model, settings }) =>
      leastCompute(blueprint(model.name), { ...usual, ...(settings as Partial<EngineSettings>) }) / 2 ** 20,
  );
  const over = told.map(({ computeMebibytes }, i) => computeMebibytes! - least[i]!);
  expect(Math.min(...over)).toBeGreaterThan(-0.005);
  expect(over.filter((more) => more < 0.03).length).toBeGreaterThan(0.4 * told.length);
});

test("the longest context is the inverse of the steps: one token more does not fit", () => {
  for (const log of file.logs) {
    const parts = partsOfLog(log);
    for (const room of [bytesAt(parts, 1), bytesAt(parts, 5000), 1.37 * bytesAt(parts, 70_000)]) {
      const tokens = longestIn(parts)(room);
      if (tokens === Number.POSITIVE_INFINITY) {
        expect(bytesAt(parts, 2 ** 40)).toBeLessThanOrEqual(room);
        continue;
      }
      expect(bytesAt(parts, tokens)).toBeLessThanOrEqual(room);
      expect(bytesAt(parts, tokens + 1)).toBeGreaterThan(room);
    }
  }
});

test("records are of several engines, versions and kinds of models, and each says whence", () => {
  expect(file.logs.length).toBeGreaterThan(70);
  expect(new Set(file.logs.map(({ engine }) => engine)).size).toBeGreaterThanOrEqual(5);
  expect(new Set(file.logs.map(({ model }) => model.name)).size).toBeGreaterThan(30);
  for (const { source } of file.logs) expect(source.length).toBeGreaterThan(12);
});
