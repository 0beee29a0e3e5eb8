import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import type { Stretch } from "../src/device/gpu/memory.ts";
import { WebgpuDevice } from "../src/device/webgpu.ts";
import { findFamily } from "../src/family/families.ts";
import type { GgufType } from "../src/file/gguf.ts";
import { generate, idsOf } from "../src/generate/generate.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { PAGE } from "../src/tensor/page.ts";
import { packedTensor, scope, Tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";

// Models that are larger than what an adapter binds at once, and than its buffers.

/** Bytes of a binding and of a buffer, to which a device is held: as a model of gigabytes finds on a telephone, all of it smaller. */
const [BINDING, BUFFER] = [2 ** 17, 2 ** 21];

const scratch = await mkdtemp(join(tmpdir(), "biform-limits-"));
const wide = await openGpu({ poison: false });
const narrow = await openGpu({
  poison: false,
  least: { maxBufferSize: BUFFER, maxStorageBufferBindingSize: BINDING },
});
afterAll(async () => {
  for (const gpu of [wide, narrow]) if (typeof gpu !== "string") gpu.close();
  await rm(scratch, { recursive: true });
});

const models: readonly (readonly [Preset, GgufType, vocabulary: number, forms: readonly string[]])[] = [
  ["llama", "F32", 1536, ["grouped"]],
  ["deepseek2-moe", "Q8_0", 4096, ["absorbed", "expanded"]],
];

/** Greedy ids in each form, and launches of a token. */
async function write(path: string, device: WebgpuDevice, forms: readonly string[]) {
  const loaded = await load(path, { device });
  const blocks = new Set([...loaded.weights.values()].map(({ block }) => block));
  const weights = [...blocks].map(({ elements }) => 4 * elements);
  const ids: Record<string, Int32Array> = {};
  const before = device.counts.launches;
  for (const form of forms) {
    const prompt = Int32Array.from({ length: 24 }, (_, i) => (i * i + 7) % 1500);
    const session = new Session(loaded.model, loaded.weights, { context: 100 });
    ids[form] = await idsOf(generate(session, prompt, { maxTokens: 24, temperature: 0, form }));
    session.free();
  }
  loaded.close();
  return { ids, weights, launches: device.counts.launches - before };
}

if (typeof wide === "string" || typeof narrow === "string") test.skip(`limits on WebGPU, since ${wide}`, () => {});
else
  describe("a model larger than bindings and buffers may be", () => {
    test("is held to them", () => {
      expect(narrow.traits).toMatchObject({ binding: BINDING, buffer: BUFFER });
      expect(() => narrow.allocate(BUFFER / 4 + 1)).toThrow(
        /^webgpu memory: got a request for .* adapter's 2 MiB; use/,
      );
    });

    test("keeps the cache of each layer apart, also where all layers have one attention", () => {
      const config = presetConfig("deepseek2", "tiny");
      const model = findFamily(config).model(config);
      expect(model.layers[1]!.attention).toBe(model.layers[0]!.attention);
      const weights = initialWeights(model, narrow, 1);
      const session = new Session(model, weights, { context: 2 * PAGE });
      // A page takes more than half of a binding.
      for (const cache of session.caches) cache.reserve(PAGE);
      expect(2 * session.caches[0]!.bytes).toBeGreaterThan(BINDING);
      const arenas = session.caches.map((cache) => (cache.rows.c!.paging!.pages[0]!.block as Stretch).arena);
      expect(new Set(arenas).size).toBe(model.layers.length);
      // What a binding holds is where a context ends, whatever was asked for.
      expect(() => session.caches[0]!.reserve(2 * PAGE)).toThrow(
        /^webgpu cache: got a request for more than 1 pages of \d+ bytes in a layer, .*; use a shorter context/,
      );
      session.free();
      for (const t of weights.values()) t.free();
    });

    // A software GPU compiles for a quarter of a minute what a model needs.
    test.skipIf(!long).each(models)(
      "%s, %s, lies in parts and writes the same",
      async (preset, type, vocabulary, forms) => {
        const path = join(scratch, `${preset}.gguf`);
        await writeSampleGguf(path, { ...presetConfig(preset, "tiny"), vocab_size: vocabulary }, { seed: 5, type });
        const [whole, cut] = [await write(path, wide, forms), await write(path, narrow, forms)];
        expect(Math.max(...whole.weights)).toBeGreaterThan(8 * BINDING);
        expect(whole.weights.reduce((sum, bytes) => sum + bytes)).toBeGreaterThan(BUFFER);
        expect(cut.launches).toBeGreaterThan(whole.launches);
        expect(new Set(cut.ids[forms[0]!]).size).toBeGreaterThan(5);
        expect(cut.ids).toEqual(whole.ids);
      },
    );
  });

/** What a launch was told: its bindings, and where each operand begins in its buffer, in bytes. */
interface Told {
  readonly bound: readonly {
    readonly buffer: { readonly size: number };
    readonly offset: number;
    readonly size: number;
  }[];
  readonly begin: readonly number[];
}

/** A GPU of buffers of made-up sizes that hold nothing, what it is told to launch, and how often it was waited for. */
function plannedGpu(limits: Readonly<Record<string, number>>) {
  const told: Told[] = [];
  let waited = 0;
  const nothing = () => ({});
  let waiting: { bound: Told["bound"]; at: number }[] = [];
  let [groups, at]: [Told["bound"], number] = [[], 0];
  const pass = {
    setPipeline: nothing,
    end: nothing,
    setBindGroup: (index: number, group: { entries: { resource: Told["bound"][number] }[] }, offsets?: number[]) => {
      if (index === 0) groups = group.entries.map(({ resource }) => resource);
      else at = offsets![0]!;
    },
    dispatchWorkgroups: () => void waiting.push({ bound: groups, at }),
  };
  let ring = new Uint8Array();
  const queue = {
    writeBuffer: (_: object, to: number, bytes: Uint8Array<ArrayBuffer>) => {
      if (to === 0) ring = bytes.slice();
    },
    submit: () => {
      const words = new Uint32Array(ring.buffer);
      for (const { bound, at } of waiting)
        told.push({ bound, begin: bound.map(({ offset }, i) => offset + 4 * words[at / 4 + i]!) });
      waiting = [];
    },
    onSubmittedWorkDone: async () => void waited++,
  };
  const features = new Set<string>();
  const device = {
    ...{ limits, features, queue, lost: new Promise(() => {}), addEventListener: nothing, destroy: nothing },
    createBuffer: ({ size }: { size: number }) => ({ size, destroy: nothing }),
    createBindGroup: (group: object) => group,
    ...{ createBindGroupLayout: nothing, createPipelineLayout: nothing, createShaderModule: nothing },
    ...{ createComputePipeline: nothing, pushErrorScope: nothing, popErrorScope: async () => null },
    createCommandEncoder: () => ({ beginComputePass: () => pass, copyBufferToBuffer: nothing, finish: nothing }),
  };
  const adapter = { limits, features, info: { description: "planned" }, requestDevice: async () => device };
  return { gpu: { requestAdapter: async () => adapter } as unknown as GPU, told, waits: () => waited };
}

// Drivers say such numbers, and of buffers that there is no bound.
describe.each([2 ** 27, 2 ** 30, 2 ** 31 - 1])(
  "addresses of weights of gigabytes, %i bytes a binding",
  async (most) => {
    const { gpu, told, waits } = plannedGpu({
      ...{ maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: most, maxStorageBuffersPerShaderStage: 8 },
      ...{ maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 },
      ...{
        maxComputeWorkgroupSizeX: 256,
        maxComputeWorkgroupsPerDimension: 65535,
        minUniformBufferOffsetAlignment: 256,
      },
    });
    const device = await WebgpuDevice.open({ gpu });
    const [rows, width] = [1_300_001, 800];
    const bytes = 4 * rows * width;

    /** What launches that bind the table were told, in their order. */
    const partsOf = async (run: () => Tensor) => {
      told.length = 0;
      scope(device, run);
      await device.fence();
      return told.flatMap(({ bound, begin }) =>
        bound.flatMap(({ buffer, offset, size }, i) =>
          buffer.size >= bytes ? [{ begin: begin[i]!, end: offset + size, size }] : [],
        ),
      );
    };

    test.each<[what: string, run: (table: Tensor) => Tensor]>([
      ["rows by number", (table) => gather(table, Int32Array.of(0, rows - 1))],
      ["a product of a token", (table) => einsum("t d, w d -> t w", new Tensor(device, [1, width]), table)],
      ["a product of many", (table) => einsum("t d, w d -> t w", new Tensor(device, [20, width]), table)],
      ["a product along its columns", (table) => einsum("t w, w d -> t d", new Tensor(device, [1, rows]), table)],
    ])("%s: parts join without a gap from the first byte to the last", async (_what, run) => {
      const table = new Tensor(device, [rows, width]);
      const parts = await partsOf(() => run(table));
      table.free();
      expect(parts.length).toBeGreaterThan(1);
      const each = parts[1]!.begin;
      parts.forEach(({ begin, end, size }, i) => {
        expect(begin).toBe(i * each);
        expect(size).toBeLessThanOrEqual(most);
        expect(size % 4).toBe(0);
        expect(end).toBeGreaterThanOrEqual(Math.min(bytes, (i + 1) * each));
      });
      expect(parts.length * each).toBeGreaterThanOrEqual(bytes);
      expect(parts.length * each - bytes).toBeLessThan(each);
    });

    test("what is loaded is in memory a few MiB at a time, and the device is waited for now and then", async () => {
      const [count, columns] = [300_000, 512];
      const t = packedTensor(device, [count, columns], { format: "Q8_0", rows: [0], columns: [1] });
      let [largest, all] = [0, 0];
      const read = async (_from: number, into: Uint8Array) => {
        largest = Math.max(largest, into.length);
        all += into.length;
      };
      const before = waits();
      await pack(t, { at: Int32Array.from({ length: count }, (_, i) => i), read });
      t.free();
      expect(all).toBe(count * (columns / 32) * 34);
      expect(largest).toBeLessThanOrEqual(2 ** 22);
      // The driver keeps what is on its way.
      expect(waits() - before).toBeGreaterThanOrEqual(Math.floor(all / 2 ** 27));
    });

    test("a model of many gigabytes lies in many buffers, and one tensor of more than 4 GiB is refused by its size", () => {
      const before = device.liveBytes;
      const weights = Array.from({ length: 12 }, () => new Tensor(device, [rows, width]));
      expect(device.liveBytes).toBe(before + 12 * bytes);
      for (const t of weights) t.free();
      expect(() => new Tensor(device, [2 ** 21, 513])).toThrow(
        /^webgpu memory: got a request for 4104 MiB at once, expected at most the adapter's 4095 MiB/,
      );
      expect(device.liveBytes).toBe(before);
    });
  },
);
