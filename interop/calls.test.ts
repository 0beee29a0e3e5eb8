// Calls of tools as the original templates write them, parsed back.
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { familyOf } from "../src/server/parse/family.ts";
import { parserFor } from "../src/server/parse/parser.ts";
import { folders, tools, turnsOf } from "./calls.ts";

const schemas = new Map(tools.map(({ function: { name, parameters } }) => [name, parameters]));

/** Templates that write calls in ways that Biform does not read, and so refuses tools with. */
const refused = new Set([
  "Apertus-8B-Instruct",
  "ByteDance-Seed-OSS",
  "Cohere2MoE",
  "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
  "diffusion_gemma",
  "diffusion_gemma_training",
  "gemma4",
  "gemma4_v2",
  "gemma4_v3",
  "gemma4_v4",
  "gemma4_v5",
  "google-gemma-4-31B-it",
  "google-gemma-4-31B-it-interleaved",
  "gptoss",
  "gptoss_training",
  "Kimi-K3",
  "meetkai-functionary-medium-v3.2",
  "MiniMax-M1",
  "MiniMax-M2",
  "MiniMax-M3",
  "muse-glimmer",
  "muse_glimmer",
  "muse_glimmer_training",
  "NVIDIA-Nemotron-Nano-v2",
  "openai-gpt-oss-120b",
  "tencent-Hy3",
  "upstage-Solar-Open-100B",
]);

const files = folders.flatMap((folder) => globSync(join(folder, "*.jinja")).sort());

test("there are templates of all families", () => {
  expect(folders).toHaveLength(2);
  expect(files.length).toBeGreaterThan(140);
});

describe.each(files.map((file) => [basename(file, ".jinja"), file]))("%s", (name, file) => {
  test("calls that its template writes are those that are read, or tools are refused", async () => {
    const source = readFileSync(file, "utf8");
    const turns = await turnsOf(source);
    if (!turns.length) return;
    expect(familyOf(source) === undefined, familyOf(source)?.name).toBe(refused.has(name));
    if (refused.has(name)) return;
    for (const { text, thinking, calls, content } of turns) {
      const parser = parserFor(source, { tools: true, thinking, schemas });
      const deltas = [...parser.push(text), ...parser.end()];
      const read = deltas.flatMap(({ call }) =>
        call ? [{ name: call.name, arguments: JSON.parse(call.arguments) }] : [],
      );
      expect([text, read]).toEqual([text, calls]);
      const said = deltas.map((delta) => delta.content ?? "").join("");
      expect([text, said.trim()]).toEqual([text, content]);
    }
  });
});
