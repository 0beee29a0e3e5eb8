import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { chosenFiles, firstGguf } from "../src/file/files.ts";
import { load } from "../src/generate/load.ts";

const folder = mkdtempSync(join(tmpdir(), "biform-files-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blob = (text = "") => new Blob([text]);
const paths = (...all: string[]) => all.map((path) => ({ path, file: blob(path) }));

test("what was chosen is the folder with the config, or the one that lies highest", async () => {
  const files = chosenFiles(paths("deep/model/config.json", "deep/model/model.safetensors", "deep/notes.txt"));
  expect([...files.names]).toEqual(["config.json", "model.safetensors"]);
  expect(files.name).toBe("deep/model");
  const source = await files.open("config.json");
  expect(source.name).toBe("deep/model/config.json");
  await expect(files.open("../notes.txt")).rejects.toThrow("got no such file");
  expect([...chosenFiles(paths("a.gguf", "under/b.gguf")).names]).toEqual(["a.gguf"]);
  expect(() => chosenFiles([])).toThrow("files: got none");
});

test("a model begins with its only GGUF file, or with the first of its parts", () => {
  const first = (...names: string[]) => firstGguf(chosenFiles(paths(...names)));
  expect(first("m.gguf", "readme.md")).toBe("m.gguf");
  expect(first("m-00002-of-00002.gguf", "m-00001-of-00002.gguf")).toBe("m-00001-of-00002.gguf");
  expect(() => first("m-00002-of-00002.gguf")).toThrow("expected the first of its parts");
  expect(() => first("a.gguf", "b.gguf")).toThrow("got the models a.gguf, b.gguf");
  expect(() => first("readme.md")).toThrow("neither config.json nor a GGUF file");
});

test("a session goes on from memory as from a file, with the same bits", async () => {
  const path = join(folder, "tiny.gguf");
  await writeSampleGguf(path, presetConfig("ling3", "tiny"), { seed: 1, type: "F32" });
  const file = new File([readFileSync(path)], "tiny.gguf");
  const files = chosenFiles([{ path: "tiny.gguf", file }]);
  const loaded = await load(files, { threads: 1 });
  try {
    const session = loaded.session();
    const ids = [1, 5, 2, 9, 3];
    session.append(ids).free();
    const saved = await session.encode();
    await session.save(join(folder, "session.safetensors"));
    const twins = [await loaded.resume(saved), await loaded.resume(join(folder, "session.safetensors"))];
    const logits = await Promise.all([session, ...twins].map((one) => one.append([4]).read()));
    expect(logits[1]).toEqual(logits[0]);
    expect(logits[2]).toEqual(logits[0]);
    await expect(loaded.resume(saved.subarray(0, 100))).rejects.toThrow(/^session: .*got/);
    for (const one of [session, ...twins]) one.free();
  } finally {
    loaded.close();
  }
  expect(readdirSync(folder)).toContain("session.safetensors");
});
