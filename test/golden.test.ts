import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { openSafetensors, writeSafetensors } from "../src/file/disk.ts";
import { FormatError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { type GoldenCase, verifyGolden } from "../src/verify/golden/golden.ts";
import { long } from "./extent.ts";
import { LaterDevice } from "./fixture/later.ts";

const vectors = fileURLToPath(new URL("../../shared/golden", import.meta.url));
// The vectors are too large for the repository: they lie beside it, or these tests are skipped.
const withVectors = describe.skipIf(!existsSync(join(vectors, "index.json")));

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-golden-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

let wasm: Device;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2 });
});
afterAll(() => wasm.close());

interface Listed {
  readonly case: string;
  readonly kind: string;
}

const reference = () => [new ReferenceDevice()];

withVectors("golden vectors (skipped where ../shared/golden is missing)", () => {
  test("of models, conversions, layers and operators are met in every form on every device", async () => {
    const seen: string[] = [];
    const report = await verifyGolden(vectors, {
      devices: [new ReferenceDevice(), ...(long ? [new LaterDevice()] : []), wasm],
      onCase: ({ name }) => seen.push(name),
    });
    expect(report.cases.filter(({ status }) => status !== "pass")).toEqual([]);
    expect(report.cases.length).toBeGreaterThanOrEqual(32);
    for (const { maxError, tolerance, reason } of report.cases) {
      expect(maxError).toBeGreaterThan(0);
      expect(maxError).toBeLessThanOrEqual(tolerance!);
      expect(reason).toBeUndefined();
    }
    const listed = JSON.parse(await readFile(join(vectors, "index.json"), "utf8")).list as { case: string }[];
    expect(seen).toEqual(listed.map((entry) => entry.case).sort());
    expect(report.pass).toBe(listed.length);
  });

  // Layers and operators, and two models; the other models, and those that are made of one by a conversion, do on it what these do.
  test.skipIf(long)("are met on a device that only enqueues too", async () => {
    const { list } = JSON.parse(await readFile(join(vectors, "index.json"), "utf8")) as { list: Listed[] };
    const models = ["hf_deepseek_v32", "hf_llama_gqa"];
    const some = list.filter(({ kind, case: name }) =>
      kind === "whole_model" ? models.includes(name) : kind !== "conversion",
    );
    expect(some.length).toBeGreaterThan(20);
    for (const { case: name } of some) {
      const { cases } = await verifyGolden(join(vectors, name), { devices: [new LaterDevice()] });
      for (const { status } of cases) expect([name, status]).toEqual([name, "pass"]);
    }
  });

  test("are failed by the number that is off, and the run goes on past a damaged case", async () => {
    for (const name of ["a_moved", "b_cut", "c_whole"])
      await cp(join(vectors, "mla_noqlora"), join(dir, name), { recursive: true });
    const file = join(dir, "a_moved", "expected.safetensors");
    const expected = await openSafetensors(file);
    const tensors = await Promise.all(
      expected.names.map(async (name) => ({
        name,
        shape: expected.entry(name).shape,
        data: await expected.read(name),
      })),
    );
    const moved = tensors.find(({ name }) => name === "out_decode_absorb")!;
    moved.data[moved.data.length - 1]! += 0.25;
    await writeSafetensors(file, tensors);
    const weights = join(dir, "b_cut", "weights.safetensors");
    await writeFile(weights, (await readFile(weights)).subarray(0, 5000));
    const { cases, pass, fail } = await verifyGolden(dir, { devices: reference() });
    expect({ pass, fail }).toEqual({ pass: 1, fail: 2 });
    expect(cases[0]).toMatchObject({ name: "a_moved", status: "fail", tolerance: 0.0001 });
    expect(cases[0]!.maxError).toBeCloseTo(0.25, 4);
    expect(cases[0]!.reason).toMatch(/^out_decode_absorb \(absorbed, from .*reference\): largest error 0\.250/);
    expect(cases[1]).toMatchObject({ name: "b_cut", status: "fail", maxError: null, tolerance: null });
    expect(cases[1]!.reason).toContain("weights.safetensors");
    expect(cases[2]).toMatchObject({ name: "c_whole", status: "pass" });
  });

  test("of models may say that the oracle ran with another config", async () => {
    const path = join(dir, "minicpm3");
    await cp(join(vectors, "hf_minicpm3"), path, { recursive: true });
    // What one sequence gives at once and step by step is enough to tell.
    const io = await openSafetensors(join(path, "io.safetensors"));
    const first = async (name: string) => {
      const { shape, elements } = io.entry(name);
      const data = (await io.read(name)).subarray(0, elements / shape[0]!);
      return { name, shape: [1, ...shape.slice(1)], data };
    };
    const names = io.names.filter((name) => name !== "greedy_ids");
    await writeSafetensors(join(path, "io.safetensors"), await Promise.all(names.map(first)));
    const change = async (file: string, keys: object) => {
      const all = JSON.parse(await readFile(join(path, file), "utf8"));
      await writeFile(join(path, file), JSON.stringify({ ...all, ...keys }));
    };
    const one = [1, 1, 1, 1];
    // Beyond its original length this would turn by other angles, and with its own factor by other magnitudes.
    const scaling = { type: "longrope", long_factor: one, short_factor: one, original_max_position_embeddings: 64 };
    await change("ckpt/config.json", { rope_scaling: scaling });
    const run = async () => (await verifyGolden(path, { devices: reference() })).cases;
    expect(await run()).toMatchObject([{ status: "fail" }]);
    await change("manifest.json", { oracle_config_override: { rope_scaling: { factor: 1 } } });
    expect(await run()).toMatchObject([{ status: "pass" }]);
    await change("manifest.json", { oracle_config_override: { "rope_scaling.factor": 1 } });
    expect(await run()).toMatchObject([{ status: "pass" }]);
  });

  test("are failed by greedy ids that differ, however close the logits", async () => {
    const path = join(dir, "llama");
    await cp(join(vectors, "hf_llama_gqa"), path, { recursive: true });
    const file = join(path, "io.safetensors");
    const io = await openSafetensors(file);
    const tensors = await Promise.all(
      io.names.map(async (name) => ({ name, shape: io.entry(name).shape, data: await io.read(name) })),
    );
    tensors.find(({ name }) => name === "greedy_ids")!.data[3]! += 1;
    await writeSafetensors(file, tensors);
    // The directory is a case itself here.
    const { cases } = await verifyGolden(path, { devices: reference() });
    expect(cases).toMatchObject([{ name: "llama", status: "fail", reason: expect.stringContaining("greedy_ids") }]);
  });
});

describe("a directory of cases", () => {
  const write = async (name: string, files: Record<string, string>) => {
    await mkdir(join(dir, name), { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(join(dir, name, file), text);
  };
  const run = () => verifyGolden(dir, { devices: reference() });
  const byName = (cases: readonly GoldenCase[]) => Object.fromEntries(cases.map((c) => [c.name, c]));

  test("reports kinds and models that are not known as unsupported, with the reason", async () => {
    const one = [{ name: "thing.weight", shape: [1], data: new Float32Array(1) }];
    for (const kind of ["op", "attention_layer"]) {
      await write(kind, { "manifest.json": `{"kind": "${kind}"}`, "config.json": '{"hidden_size": 8}' });
      for (const file of ["weights", "inputs", "expected"])
        await writeSafetensors(join(dir, kind, `${file}.safetensors`), one);
    }
    await write("new", { "manifest.json": '{"kind": "hologram"}' });
    await write("model", { "manifest.json": '{"kind": "whole_model"}' });
    await write("model/ckpt", { "config.json": '{"model_type": "gpt2"}' });
    const report = await run();
    expect(report).toMatchObject({ pass: 0, fail: 0, unsupported: 4 });
    expect(report.cases.map(({ name }) => name)).toEqual(["attention_layer", "model", "new", "op"]);
    const cases = byName(report.cases);
    expect(cases.new).toEqual({
      name: "new",
      kind: "hologram",
      status: "unsupported",
      maxError: null,
      tolerance: null,
      reason: 'kind "hologram" is not supported',
    });
    expect(cases.model!.reason).toContain('"gpt2"');
    expect(cases.attention_layer!.reason).toContain("thing.weight");
    expect(cases.op!.reason).toContain("inputs is not supported");
  });

  test("fails what is missing, damaged or misleading, and drops nothing", async () => {
    await write(".", { "index.json": '{"list": [{"case": "absent", "kind": "op"}, {"case": "odd", "kind": "op"}]}' });
    await write("odd", { "manifest.json": "{" });
    await write("unlisted", { "manifest.json": '{"kind": "attention_layer"}' });
    await write("outside", { "manifest.json": '{"kind": "whole_model", "checkpoint_dir": "../../secret"}' });
    await write("no_case", { "notes.txt": "" });
    const { cases, fail } = await run();
    expect(cases.map(({ name, status }) => [name, status])).toEqual([
      ["absent", "fail"],
      ["odd", "fail"],
      ["outside", "fail"],
      ["unlisted", "fail"],
    ]);
    expect(fail).toBe(4);
    for (const { reason } of cases) expect(reason).toContain(".json");
  });

  test("that is missing, empty, a file, or indexed outside itself is one clear error", async () => {
    await expect(verifyGolden(join(dir, "none"))).rejects.toThrow(/none: got no such folder, expected a folder/);
    await expect(run()).rejects.toThrow(/got no golden case, expected index.json or subfolders/);
    await writeFile(join(dir, "file"), "");
    await expect(verifyGolden(join(dir, "file"))).rejects.toThrow(/got a file, expected a folder/);
    await write(".", { "index.json": '{"list": [{"case": "../up"}]}' });
    await expect(run()).rejects.toThrow(FormatError);
  });
});
