import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFolder } from "../src/file/atomic.ts";
import { openGguf } from "../src/file/disk.ts";
import { openFolder } from "../src/file/folder.ts";
import { encodeSafetensors, safetensorsChunks } from "../src/file/safetensors.ts";
import { openPlan } from "../src/plan/open.ts";
import { FormatError } from "../src/tensor/error.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-folder-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const config = { name: "config.json", chunks: ['{"hidden_size": 8}'] };
const x = { name: "x", shape: [2], data: Float32Array.of(1, 2) };
const y = { name: "y", shape: [1], data: Float64Array.of(3) };
const index = (map: unknown) => ({
  name: "model.safetensors.index.json",
  chunks: [JSON.stringify({ metadata: { total_size: 16 }, weight_map: map })],
});
const shard = (name: string, ...tensors: (typeof x | typeof y)[]) => ({
  name,
  chunks: safetensorsChunks(name, tensors, { format: "pt" }),
});

async function refusal(path = dir): Promise<string> {
  const error = await openFolder(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(FormatError);
  return (error as Error).message;
}

describe("a checkpoint folder", () => {
  test("gives its configuration and the tensors of its one file", async () => {
    await writeFolder(dir, [config, shard("model.safetensors", x, y)]);
    const { config: read, tensors } = await openFolder(dir);
    expect(read).toEqual({ hidden_size: 8 });
    expect(tensors.metadata).toEqual({ format: "pt" });
    expect([...(await tensors.read("x"))]).toEqual([1, 2]);
    expect(() => tensors.entry("z")).toThrow(/model\.safetensors: got no tensor z/);
  });

  test("gives the tensors of its shards as one", async () => {
    const map = { x: "a.safetensors", y: "b.safetensors" };
    await writeFolder(dir, [config, index(map), shard("a.safetensors", x), shard("b.safetensors", y)]);
    const { tensors } = await openFolder(dir);
    expect(tensors.names).toEqual(["x", "y"]);
    expect([...(await tensors.read("x")), ...(await tensors.read("y"))]).toEqual([1, 2, 3]);
    expect(tensors.entry("y").dtype).toBe("F64");
    expect(tensors.metadata).toEqual({ format: "pt" });
    expect(tensors.has("constructor")).toBe(false);
    await expect(tensors.read("constructor")).rejects.toThrow(FormatError);
  });

  test("may be a tree of links, as the hub's cache is", async () => {
    await mkdir(join(dir, "blobs"));
    await writeFile(join(dir, "blobs", "1"), '{"a": 1}');
    await writeFile(join(dir, "blobs", "2"), encodeSafetensors([x]));
    await mkdir(join(dir, "snapshot"));
    await symlink("../blobs/1", join(dir, "snapshot", "config.json"));
    await symlink("../blobs/2", join(dir, "snapshot", "model.safetensors"));
    const { tensors } = await openFolder(join(dir, "snapshot"));
    expect([...(await tensors.read("x"))]).toEqual([1, 2]);
  });

  test("whose save was interrupted in the swap is found whole", async () => {
    const run = join(dir, "run");
    await writeFolder(run, [config, shard("model.safetensors", x)]);
    await rename(run, join(dir, ".run.previous"));
    expect((await openFolder(run)).tensors.names).toEqual(["x"]);
    expect(readdirSync(dir)).toEqual(["run"]);
  });
});

describe("a folder that is not what it should be", () => {
  test("missing, a file, or empty: the error says which file is missing", async () => {
    expect(await refusal(join(dir, "none"))).toMatch(/none: got no such folder/);
    expect(await refusal()).toMatch(/config\.json: got no such file/);
    await writeFile(join(dir, "config.json"), "{}");
    expect(await refusal(join(dir, "config.json"))).toMatch(/config\.json: got a file, expected a folder/);
    expect(await refusal()).toMatch(/got no model\.safetensors and no model\.safetensors\.index\.json/);
    await writeFile(join(dir, "pytorch_model.bin"), "");
    expect(await refusal()).toMatch(/only pytorch_model\.bin/);
  });

  test.each([
    ["{", /config\.json: got no valid JSON/],
    ["[1]", /config\.json: top level: /],
    ["null", /config\.json: top level: /],
    ["\xff\xfe", /config\.json: got no valid JSON/],
    ["[".repeat(1_000_000), /config\.json: got no valid JSON/],
    [" ".repeat(16_000_001), /config\.json: got 16000001 bytes, expected at most 16000000/],
  ])("a configuration that is no JSON object is refused (case %#)", async (text, says) => {
    await writeFile(join(dir, "config.json"), Buffer.from(text, "latin1"));
    expect(await refusal()).toMatch(says);
  });

  test.each([
    ["an empty map", {}, /empty weight_map/],
    ["a map that is a list", [], /weight_map: /],
    ["a shard that is a number", { x: 1 }, /weight_map\.x: /],
    [
      "a shard outside the folder",
      { x: "../a.safetensors" },
      /got \.\.\/a\.safetensors, expected a .safetensors file in the same/,
    ],
    ["a shard at the root", { x: "/etc/a.safetensors" }, /in the same folder/],
    ["a shard below", { x: "sub/a.safetensors" }, /in the same folder/],
    ["a shard by a Windows path", { x: "..\\a.safetensors" }, /in the same folder/],
    ["a shard with a zero byte", { x: "a\0.safetensors" }, /in the same folder/],
    ["a shard of another kind", { x: "config.json" }, /in the same folder/],
    ["a shard that is missing", { x: "none.safetensors" }, /none\.safetensors: got no such file/],
    ["a tensor that its shard lacks", { z: "a.safetensors" }, /a\.safetensors, which has no such tensor/],
  ])("an index with %s is refused", async (_, map, says) => {
    await writeFolder(dir, [config, index(map), shard("a.safetensors", x)]);
    expect(await refusal()).toMatch(says);
  });

  test.each(["config.json", "model.safetensors.index.json", "a.safetensors", "b.gguf"])(
    "of which %s was not fetched says so, and how it is",
    async (name) => {
      await writeFolder(dir, [config, index({ x: "a.safetensors" }), shard("a.safetensors", x)]);
      const oid = `sha256:${"0".repeat(64)}`;
      await writeFile(join(dir, name), `version https://git-lfs.github.com/spec/v1\noid ${oid}\nsize 12800\n`);
      const says = new RegExp(
        `${name}: got Git LFS's pointer to it, expected the file itself; fetch it with git lfs pull`,
      );
      const opened = name === "b.gguf" ? openGguf(join(dir, name)) : openFolder(dir);
      await expect(opened).rejects.toThrow(says);
      // A plan needs no weights, and reads the rest.
      if (name !== "a.safetensors") await expect(openPlan(join(dir, name))).rejects.toThrow(says);
    },
  );

  test("a damaged shard is named", async () => {
    await writeFolder(dir, [config, index({ x: "a.safetensors" }), { name: "a.safetensors", chunks: ["rubbish!"] }]);
    expect(await refusal()).toMatch(/a\.safetensors: byte 0: got a header length of/);
  });
});

const golden = new URL("../../shared/golden/", import.meta.url).pathname;

// The golden vectors lie beside the repository, not in it.
describe.skipIf(!existsSync(golden))("the golden checkpoints (skipped where ../shared/golden is absent)", () => {
  test("every checkpoint opens, and its index and its tensors agree", async () => {
    const checkpoints = readdirSync(golden)
      .map((name) => join(golden, name, "ckpt"))
      .filter((path) => existsSync(path));
    let sharded = 0;
    for (const path of checkpoints) {
      const { config, tensors } = await openFolder(path);
      expect(Object.keys(config).length).toBeGreaterThan(0);
      expect(tensors.names.length).toBeGreaterThan(0);
      for (const name of tensors.names) {
        const { elements } = tensors.entry(name);
        const values = await tensors.read(name);
        expect([values.length, values.every(Number.isFinite)]).toEqual([elements, true]);
      }
      const indexPath = join(path, "model.safetensors.index.json");
      if (!existsSync(indexPath)) continue;
      sharded++;
      const { weight_map } = JSON.parse(readFileSync(indexPath, "utf8"));
      expect(tensors.names).toEqual(Object.keys(weight_map));
    }
    expect([checkpoints.length >= 10, sharded >= 2]).toEqual([true, true]);
  });
});
