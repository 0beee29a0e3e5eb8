import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { storySource } from "../src/data/story.ts";
import { openDevice } from "../src/device/open.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { WebgpuDevice } from "../src/device/webgpu.ts";
import { generate, idsOf } from "../src/generate/generate.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { webgpuKernel } from "../src/ops/webgpu.ts";
import { DeviceError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { type TrainSettings, train } from "../src/train/train.ts";
import { verifyGolden } from "../src/verify/golden/golden.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";

// Whole models on the WebGPU device beside what others make of them.

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const vectors = fileURLToPath(new URL("../../shared/golden", import.meta.url));
const scratch = await mkdtemp(join(tmpdir(), "biform-gpu-"));
const wasm = await WasmDevice.open({ threads: 2 });
// Memory is poisoned in the laws of ops: here it would cost a submission per tensor.
const gpu = await openGpu({ poison: false });
afterAll(async () => {
  wasm.close();
  if (typeof gpu !== "string") gpu.close();
  await rm(scratch, { recursive: true });
});

/** Node under another C library is started by that one's loader, which cannot start a program by itself. */
const loaded = basename(process.execPath).startsWith("ld-");

test.skipIf(process.platform !== "linux" || loaded)(
  "a machine without an adapter is an error that says what to do",
  () => {
    // A loader that is told of a driver knows no other.
    const env = { ...process.env, VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json" };
    const { status, stderr } = spawnSync(process.execPath, [bin, "verify", "MLA", "--device", "webgpu"], {
      env,
      encoding: "utf8",
    });
    expect(stderr).toMatch(/^biform: webgpu: got no adapter, expected .*use --device wasm$/m);
    expect(status).toBe(1);
  },
);

test("threads are for wasm alone", async () => {
  await expect(openDevice("webgpu", 2)).rejects.toThrow(DeviceError);
  await expect(openDevice("reference", 2)).rejects.toThrow("threads: got 2 for reference");
});

/** A software GPU compiles the shaders of a backward pass for a minute: `npm test` leaves most to `npm run test:webgpu`. */
const whole = test.skipIf(!long);

if (typeof gpu === "string") test.skip(`WebGPU, since ${gpu}`, () => {});
else if (!webgpuKernel({ name: "attend", writes: [] }))
  test.skip("whole models, which need attention on WebGPU", () => {});
else {
  describe.skipIf(!existsSync(vectors))("golden vectors (skipped where ../shared/golden is missing)", async () => {
    const folders = existsSync(vectors) ? await readdir(vectors, { withFileTypes: true }) : [];
    const names = folders.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    whole.each(names)("%s", async (name) => {
      const { cases } = await verifyGolden(join(vectors, name), { devices: [gpu] });
      for (const found of cases) if (found.status !== "unsupported") expect(found).toMatchObject({ status: "pass" });
      if (name.startsWith("mla")) expect(cases[0]?.status).toBe("pass");
    });
  });

  const pattern = "[MLA,GQA2-128,KDA]";

  whole("a training run loses what it loses on wasm", async () => {
    const source = storySource(1);
    const settings: TrainSettings = {
      pattern,
      model: { vocabulary: source.vocabulary, width: 32, heads: 4, layers: 3 },
      optimiser: optimiserDefaults,
      rate: 0.003,
      warmup: 2,
      floor: 0.1,
      steps: 12,
      batch: 2,
      length: 24,
      seed: 1,
      evaluateEvery: 2,
      heldOutBatches: 1,
      source: source.name,
    };
    const [there, here] = [await train(settings, source, wasm), await train(settings, source, gpu)];
    const [expected, found] = [there.training.losses, here.training.losses];
    expect(found.length).toBe(expected.length);
    // The first is of the same weights; then what rounding moves in weights moves what is rounded next.
    found.forEach((loss, i) => void expect(Math.abs(loss! - expected[i]!)).toBeLessThan(i ? 1e-3 : 1e-5));
    expect(Math.abs(here.loss! - there.loss!)).toBeLessThan(1e-3);
  });

  const model = buildModel(pattern, { vocabulary: 40, width: 32, heads: 4, layers: 3 });
  const prompt = Int32Array.from({ length: long ? 110 : 20 }, (_, i) => (i * i + 3) % 40);
  const greedy = (session: Session, ids: Int32Array, maxTokens: number) =>
    idsOf(generate(session, ids, { maxTokens, temperature: 0 }));

  test.each(long ? ["absorbed", "expanded"] : ["absorbed"])("greedy tokens are those of wasm, %s", async (form) => {
    // A head of its own: one that is the embedding's transpose repeats a token for ever.
    const latent = buildModel("MLA", { vocabulary: 300, width: 32, heads: 4, layers: long ? 2 : 1, tied: false });
    const write = (device: Device) =>
      idsOf(
        generate(new Session(latent, initialWeights(latent, device, 3), { context: 400 }), prompt, {
          maxTokens: long ? 200 : 8,
          temperature: 0,
          form,
        }),
      );
    const written = await write(wasm);
    expect(new Set(written).size).toBeGreaterThan(3);
    expect(await write(gpu)).toEqual(written);
  });

  whole("a session that was saved goes on after its device was lost", async () => {
    const file = join(scratch, "kept.session");
    const expected = await greedy(new Session(model, initialWeights(model, wasm, 3), { context: 200 }), prompt, 12);
    const lost: GPUDevice[] = [];
    const first = await WebgpuDevice.open({ gpu: watched(lost) });
    const session = new Session(model, initialWeights(model, first, 3), { context: 200 });
    const before = await greedy(session, prompt, 5);
    await session.save(file);
    lost[0]!.destroy();
    await expect(greedy(session, before.slice(-1), 2)).rejects.toThrow(DeviceError);
    const second = await WebgpuDevice.open();
    const resumed = await Session.load(file, model, initialWeights(model, second, 3));
    const after = await greedy(resumed, before.slice(-1), 7);
    expect([...before, ...after]).toEqual([...expected]);
    second.close();
  });
}

/** Kept: devices stop working once nothing refers to what made them. */
const instances: GPU[] = [];

/** The GPUs that there are, and whatever device is opened on one. */
function watched(opened: GPUDevice[]): GPU {
  return {
    async requestAdapter(options?: GPURequestAdapterOptions) {
      instances.push((await import("webgpu")).create([]));
      const adapter = await instances.at(-1)!.requestAdapter(options);
      const request = adapter!.requestDevice.bind(adapter);
      adapter!.requestDevice = async (wanted) => {
        const device = await request(wanted);
        opened.push(device);
        return device;
      };
      return adapter;
    },
  } as GPU;
}
