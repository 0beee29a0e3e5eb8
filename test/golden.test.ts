import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Variant } from "../src/attention/define.ts";
import type { Attention } from "../src/attention/layer.ts";
import { mla } from "../src/attention/mla.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { openFolder } from "../src/file/folder.ts";
import { familyOf, readWeights } from "../src/file/load.ts";
import { openSafetensors, writeSafetensors } from "../src/file/safetensors.ts";
import { type GoldenCase, readLayerCase, readModelOracle, verifyGolden } from "../src/lab/golden.ts";
import { compareLayer, compareModel, Ledger } from "../src/lab/oracle.ts";
import { perHead, type Source, type Sources } from "../src/model/family.ts";
import { type Model, parametersOf } from "../src/model/model.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { rope } from "../src/ops/rope/index.ts";
import { FormatError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";

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

const reference = () => [new ReferenceDevice()];

withVectors("golden vectors (skipped where ../shared/golden is missing)", () => {
  test("of Llama, DeepSeek-V2 and MLA layers are met in every form on every device; all others say why they are not run", async () => {
    const seen: string[] = [];
    const report = await verifyGolden(vectors, {
      devices: [new ReferenceDevice(), wasm],
      onCase: ({ name }) => seen.push(name),
    });
    const passed = report.cases.filter(({ status }) => status === "pass");
    expect(report.cases.filter(({ status }) => status === "fail")).toEqual([]);
    expect(passed.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        ...["hf_deepseek_v2_lite", "hf_deepseek_v2_plainrope", "hf_llama_gqa", "hf_llama_tied_bf16_sharded"],
        ...["mla_noqlora", "mla_qlora_yarn"],
      ]),
    );
    for (const { maxError, tolerance, reason } of passed) {
      expect(maxError).toBeGreaterThan(0);
      expect(maxError).toBeLessThanOrEqual(tolerance!);
      expect(reason).toBeUndefined();
    }
    for (const result of report.cases.filter(({ status }) => status === "unsupported"))
      expect(result).toMatchObject({
        maxError: null,
        tolerance: null,
        reason: expect.stringContaining("not supported"),
      });
    const listed = JSON.parse(await readFile(join(vectors, "index.json"), "utf8")).list as { case: string }[];
    expect(seen).toEqual(listed.map((entry) => entry.case).sort());
    expect(report.pass + report.fail + report.unsupported).toBe(listed.length);
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

/** Largest error of an MLA layer case in tolerances, with its definition, sizes or sources changed. */
async function layerError(
  name: string,
  change: (attention: Attention) => Attention,
  sourced: (sources: Map<string, Source>) => Sources = (sources) => sources,
): Promise<number> {
  const { attention, reader, parameters, sources, input, oracle } = await readLayerCase(join(vectors, name));
  const weights = await readWeights(reader, parameters, sourced(new Map(sources)), new ReferenceDevice());
  const ledger = new Ledger();
  await compareLayer(change(attention), Object.fromEntries(weights), input, oracle, ledger);
  return ledger.worst!.error / ledger.worst!.tolerance;
}

/** The same of a whole model. */
async function modelError(name: string, change: (model: Model) => Model): Promise<number> {
  const { config, tensors } = await openFolder(join(vectors, name, "ckpt"));
  const family = familyOf(config.model_type)!;
  const model = family.model(config);
  const weights = await readWeights(tensors, parametersOf(model), family.sources(model, config), new ReferenceDevice());
  const ledger = new Ledger();
  await compareModel(change(model), weights, await readModelOracle(join(vectors, name)), ledger);
  return ledger.worst!.error / ledger.worst!.tolerance;
}

const same = <T>(x: T): T => x;
const inEveryLayer = (change: (attention: Attention) => Attention) => (model: Model) => ({
  ...model,
  layers: model.layers.map((layer) => ({ ...layer, attention: change(layer.attention) })),
});
const otherPairs = (attention: Attention): Attention => {
  const { rotation } = attention;
  return { ...attention, rotation: { ...rotation, layout: rotation.layout === "half" ? "interleaved" : "half" } };
};
const scaledByContentOnly = (attention: Attention): Attention => {
  const { n, e } = attention.sizes;
  return { ...attention, scale: attention.scale! * (e / n) ** 0.5 };
};
/** The latent goes into the cache as it comes out of its projection. */
const withoutLatentNorm: Variant = {
  ...mla,
  project: (p, x, ...others) => ({ ...mla.project(p, x, ...others), c: einsum("t d, d c -> t c", x, p.wDKV!) }),
};
const keyTurnedBack: Variant = {
  ...mla,
  project: (p, x, at, ...others) => ({
    ...mla.project(p, x, at, ...others),
    kr: rope(einsum("t d, d r -> t r", x, p.wKR!), at.rotation, at.positions, "inverse"),
  }),
};

withVectors("a wrong implementation is caught (skipped where ../shared/golden is missing)", () => {
  const layers = ["mla_noqlora", "mla_qlora_yarn"];

  test.each(layers)("and the right one is not: %s", async (name) => {
    expect(await layerError(name, same)).toBeLessThan(1);
  });

  test.each(layers)("a softmax scale by the content dims alone: %s", async (name) => {
    expect(await layerError(name, scaledByContentOnly)).toBeGreaterThan(20);
  });

  test.each(layers)("a latent that is not normed: %s", async (name) => {
    expect(await layerError(name, (layer) => ({ ...layer, variant: withoutLatentNorm }))).toBeGreaterThan(20);
  });

  test.each(layers)("keys and values swapped in kv_b_proj: %s", async (name) => {
    const swapped = (sources: Map<string, Source>) => {
      const { count: h, block, to: n } = sources.get("wUK")!.rows!;
      sources.set("wUK", { ...sources.get("wUK")!, rows: perHead(h, block, block - n, block) });
      sources.set("wUV", { ...sources.get("wUV")!, rows: perHead(h, block, 0, block - n) });
      return sources;
    };
    expect(await layerError(name, same, swapped)).toBeGreaterThan(20);
  });

  test.each(layers)("the rotary key read before the latent: %s", async (name) => {
    const swapped = (sources: Map<string, Source>) => {
      const { to: c, block } = sources.get("wDKV")!.rows!;
      sources.set("wKR", { ...sources.get("wKR")!, rows: perHead(1, block, 0, block - c) });
      sources.set("wDKV", { ...sources.get("wDKV")!, rows: perHead(1, block, block - c, block) });
      return sources;
    };
    expect(await layerError(name, same, swapped)).toBeGreaterThan(20);
  });

  test.each(layers)("half-split rotary pairs for interleaved: %s", async (name) => {
    expect(await layerError(name, otherPairs)).toBeGreaterThan(20);
  });

  test.each(layers)("a rotary key turned the other way: %s", async (name) => {
    expect(await layerError(name, (layer) => ({ ...layer, variant: keyTurnedBack }))).toBeGreaterThan(20);
  });

  test("YaRN's softmax factor left out", async () => {
    const plain = (layer: Attention) => ({ ...layer, scale: mla.scale(layer.sizes) });
    expect(await layerError("mla_qlora_yarn", plain)).toBeGreaterThan(20);
  });

  const models: [what: string, name: string, change: (model: Model) => Model][] = [
    ["a scale by the content dims alone", "hf_deepseek_v2_plainrope", inEveryLayer(scaledByContentOnly)],
    [
      "a latent that is not normed",
      "hf_deepseek_v2_plainrope",
      inEveryLayer((a) => ({ ...a, variant: withoutLatentNorm })),
    ],
    ["half-split pairs in DeepSeek-V2", "hf_deepseek_v2_plainrope", inEveryLayer(otherPairs)],
    ["interleaved pairs in Llama", "hf_llama_gqa", inEveryLayer(otherPairs)],
    [
      "one expert fewer per token",
      "hf_deepseek_v2_lite",
      (model) => ({
        ...model,
        layers: model.layers.map(({ attention, feed }) => ({
          attention,
          feed:
            feed.kind === "dense"
              ? feed
              : { ...feed, routing: { ...feed.routing, perToken: feed.routing.perToken - 1 } },
        })),
      }),
    ],
  ];
  test.each(models)("%s: %s", async (_what, name, change) => {
    expect(await modelError(name, change)).toBeGreaterThan(20);
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
    await write("op", { "manifest.json": '{"kind": "op"}' });
    await write("new", { "manifest.json": '{"kind": "hologram"}' });
    await write("layer", { "manifest.json": '{"kind": "attention_layer"}', "config.json": '{"hidden_size": 8}' });
    await write("model", { "manifest.json": '{"kind": "whole_model"}' });
    await write("model/ckpt", { "config.json": '{"model_type": "gpt2"}' });
    const report = await run();
    expect(report).toMatchObject({ pass: 0, fail: 0, unsupported: 4 });
    expect(report.cases.map(({ name }) => name)).toEqual(["layer", "model", "new", "op"]);
    const cases = byName(report.cases);
    expect(cases.new).toEqual({
      ...{ name: "new", kind: "hologram", status: "unsupported", maxError: null, tolerance: null },
      reason: 'kind "hologram" is not supported',
    });
    expect(cases.model!.reason).toContain('"gpt2"');
    expect(cases.layer!.reason).toContain("kv_lora_rank");
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
