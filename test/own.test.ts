import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { variants } from "../src/attention/variants.ts";
import { loadModel } from "../src/checkpoint/load.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { blueprintOf } from "../src/cost/blueprint.ts";
import { textSource } from "../src/data/text.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { biform, ownConfig } from "../src/family/biform.ts";
import type { Config } from "../src/family/config.ts";
import { findFamily } from "../src/family/families.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import type { Model } from "../src/model/model.ts";
import { rotation } from "../src/ops/rope/index.ts";
import { openPlan } from "../src/plan/open.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { train } from "../src/train/train.ts";
import { seed } from "./law/check.ts";
import { cases } from "./law/geometry.ts";

const ids = Int32Array.from([3, 1, 4, 1, 5, 9, 2, 6]);
let dir = "";
let wasm: WasmDevice;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-own-"));
  wasm = await WasmDevice.open({ threads: 1 });
});
afterAll(async () => {
  wasm.close();
  await rm(dir, { recursive: true, force: true });
});

async function logitsOf(path: string, device: Device, weights: "plain" | "packed" = "plain"): Promise<Float64Array> {
  const { model, weights: held } = await loadModel(path, device, { weights });
  const session = new Session(model, held, { context: ids.length });
  const logits = Float64Array.from(await session.append(ids).read());
  session.free();
  for (const t of held.values()) t.free();
  return logits;
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** A model of one drawn layer, which is written nowhere else than here. */
const drawnModels = (variant: (typeof variants)[number]) =>
  cases(variant, 4).map(
    ({ sizes, layout, base, window }): Model => ({
      vocabulary: 300,
      width: sizes.d,
      layers: [
        {
          attention: { variant, sizes, rotation: rotation(sizes.r, base, layout), window: window || undefined },
          feed: { kind: "dense", f: 6 },
        },
      ],
      tied: sizes.h % 2 === 0,
      eps: 1e-5,
    }),
  );

describe.each(variants.map((variant) => [variant.name, variant] as const))(
  "%s in Biform's own format",
  (name, variant) => {
    test("is the same model, in a folder and in a GGUF file, on every device", () =>
      fc.assert(
        fc.asyncProperty(drawnModels(variant), async (model) => {
          const config = JSON.parse(JSON.stringify(ownConfig(model))) as Config;
          expect(blueprintOf(biform.model(config), "x")).toEqual(blueprintOf(model, "x"));
          const [folder, file] = [join(dir, name), join(dir, `${name}.gguf`)];
          await writeSampleFolder(folder, config, { seed: 5, type: "F32" });
          await writeSampleGguf(file, config, { seed: 5, type: "F32" });
          const expected = await logitsOf(folder, new ReferenceDevice());
          expect(await logitsOf(file, new ReferenceDevice())).toEqual(expected);
          const size = Math.max(...expected.map(Math.abs));
          // Float32 over narrow layers: some hundred roundings, and norms of few numbers that may be small.
          expect(farthest(expected, await logitsOf(folder, wasm, "packed"))).toBeLessThan(2e-4 * size);
          expect((await openPlan(folder)).layers).toEqual((await openPlan(file)).layers);
        }),
        { seed, numRuns: 4 },
      ));
  },
);

test("a trained checkpoint runs, and is planned as what was trained", async () => {
  const path = join(dir, "trained");
  const source = textSource([{ name: "x", bytes: new TextEncoder().encode("a latent is order. ".repeat(80)) }], {
    seed: 1,
    length: 16,
  });
  const pattern = "[GLA2,MLA]";
  const settings = { vocabulary: 256, width: 32, heads: 4, layers: 2, tied: true };
  await train(
    {
      pattern,
      model: settings,
      optimiser: { kind: "adamw" },
      rate: 1e-3,
      warmup: 1,
      floor: 0.1,
      steps: 2,
      batch: 2,
      length: 16,
      seed: 1,
      evaluateEvery: 2,
      heldOutBatches: 1,
      source: "x",
    } as never,
    source,
    new ReferenceDevice(),
    { checkpoint: { dir: path, every: 2 } },
  );
  const loaded = await load(path, { device: new ReferenceDevice() });
  expect(blueprintOf(loaded.model, "x")).toEqual(blueprintOf(buildModel(pattern, settings), "x"));
  // A lab's model of bytes has bytes for a tokenizer.
  expect(Array.from(loaded.tokenizer!.encode("ab"))).toEqual([97, 98]);
  loaded.close();
  const planned = await openPlan(path);
  expect([planned.architecture, planned.maxContext]).toEqual(["biform", 16]);
});

describe("a config of it that does not fit is refused by its key", () => {
  const good = () =>
    JSON.parse(
      JSON.stringify(ownConfig(buildModel("MLA", { vocabulary: 300, width: 32, heads: 4, layers: 2 }))),
    ) as Config & { layers: { times: number; attention: { sizes: Config; rotation: Config; variant: string } }[] };
  test.each<[RegExp, (config: ReturnType<typeof good>) => object]>([
    [/^layers: got it and attention/, () => ({ attention: "MLA" })],
    [/^layers: got neither/, () => ({ layers: undefined })],
    [/^num_attention_heads: got nothing/, () => ({ layers: undefined, attention: "MLA" })],
    [/^layers: got 2, expected 3/, () => ({ num_hidden_layers: 3 })],
    [
      /^layers\.0\.attention\.variant: got "MLB"/,
      ({ layers: [one] }) => ({ layers: [{ ...one, attention: { ...one!.attention, variant: "MLB" } }] }),
    ],
    [
      /rotation\.frequencies: got 1 numbers/,
      ({ layers: [one] }) => ({
        layers: [
          { ...one, attention: { ...one!.attention, rotation: { ...one!.attention.rotation, frequencies: [1] } } },
        ],
      }),
    ],
    [
      /axis e got/,
      ({ layers: [one] }) => ({
        layers: [{ ...one, attention: { ...one!.attention, sizes: { ...one!.attention.sizes, e: 1 } } }],
      }),
    ],
    [
      /feature qk/,
      ({ layers: [one] }) => ({
        layers: [{ ...one, attention: { ...one!.attention, sizes: { ...one!.attention.sizes, with: { qk: true } } } }],
      }),
    ],
    [/^sliding: got a key that is not known/, () => ({ sliding: 4 })],
    [/^layers\.0\.times/, ({ layers: [one] }) => ({ layers: [{ ...one, times: 1e9 }] })],
    [/variant: got "MLC"/, () => ({ layers: undefined, attention: "MLC", num_attention_heads: 4 })],
  ])("%s", (message, change) => {
    const config = good();
    expect(() => biform.model({ ...config, ...change(config) })).toThrow(message);
  });

  test("and another engine's reader finds no name that it knows", async () => {
    const path = join(dir, "named");
    await writeSampleFolder(path, good(), { seed: 1, type: "BF16" });
    const { model_type, architectures } = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    expect([model_type, architectures]).toEqual(["biform", ["BiformForCausalLM"]]);
    await writeFile(join(path, "config.json"), JSON.stringify({ ...presetConfig("llama", "tiny"), vocab_size: 300 }));
    // Nor does Biform read its tensors as those of another architecture.
    await expect(loadModel(path, new ReferenceDevice())).rejects.toThrow(/got no tensor model\./);
    expect(findFamily({ model_type: "biform" })).toBe(biform);
  });
});
