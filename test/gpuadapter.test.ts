import { afterAll, describe, expect, test } from "vitest";
import { sourceOf } from "../src/device/gpu/shader.ts";
import { WebgpuDevice } from "../src/device/webgpu.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";

// Adapters that are not as they should be: what is wrong is told, and what to do.

/** A GPU of an adapter that is this and otherwise offers nothing. */
function faked(adapter: Partial<GPUAdapter> | null): GPU {
  const limits = new Proxy({}, { get: () => 65536 });
  const whole = adapter && { features: new Set(), limits, info: {}, ...adapter };
  return { requestAdapter: async () => whole, wgslLanguageFeatures: new Set() } as unknown as GPU;
}

test("no adapter", async () => {
  await expect(WebgpuDevice.open({ gpu: faked(null) })).rejects.toThrow(
    /^webgpu: got no adapter, expected .*install its driver, or use --device wasm$/,
  );
});

test("a driver that offers limits which it then refuses", async () => {
  const requestDevice = async () => {
    throw new Error("limit out of range");
  };
  const error = await WebgpuDevice.open({ gpu: faked({ requestDevice }) }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(DeviceError);
  expect((error as Error).message).toMatch(
    /offers limits .*limit out of range.*update the driver, or use --device wasm/,
  );
});

test("products in 16 bits that an adapter has not", async () => {
  await expect(WebgpuDevice.open({ gpu: faked({}), products: "f16" })).rejects.toThrow(
    /^webgpu: got products in f16 and an adapter without shader-f16, expected one that has it; leave it at f32$/,
  );
});

const gpu = await openGpu({ poison: false });
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});
if (typeof gpu === "string") test.skip(`drivers at fault, since ${gpu}`, () => {});
else
  describe("drivers at fault", () => {
    const broken = {
      name: "broken",
      reads: { x: "f32" },
      writes: { out: "f32" },
      numbers: {},
      code: () => "@compute @workgroup_size(1) fn main() { out[0] = nothing; }",
    } as const;

    test("a shader that does not compile fails what is awaited next, by its name", async () => {
      const device = (await openGpu({ poison: false })) as WebgpuDevice;
      const x = tensor(device, [4], [1, 2, 3, 4]);
      device.launch(broken, {}, { x, out: tensor(device, [4], [0, 0, 0, 0]) }, {}, [1]);
      await expect(x.read()).rejects.toThrow(/^webgpu: .*broken|^webgpu: the driver reports .*nothing/);
      await expect(x.read()).rejects.toThrow(DeviceError);
      device.close();
    });

    test("one that is compiled ahead rejects what gets ready", async () => {
      const device = (await openGpu({ poison: false })) as WebgpuDevice;
      const error = await device
        .rehearse(() => {
          const x = tensor(device, [4], [1, 2, 3, 4]);
          device.launch(broken, {}, { x, out: tensor(device, [4], [0, 0, 0, 0]) }, {}, [1]);
        })
        .catch((e: unknown) => e);
      expect(error).toBeInstanceOf(DeviceError);
      expect((error as Error).message).toMatch(/does not compile the shader broken .*update the driver/);
      device.close();
    });

    test("limits above what the driver holds to are no wrong numbers but an error", async () => {
      const device = (await openGpu({ poison: false })) as WebgpuDevice;
      // As if it had told of more memory of a workgroup than there is.
      const wide = {
        ...broken,
        name: "wide",
        code: () =>
          "var<workgroup> much: array<f32, 4194304>;\n@compute @workgroup_size(1) fn main() { much[1] = x[0]; out[0] = much[1]; }",
      };
      const x = tensor(device, [4], [1, 2, 3, 4]);
      device.launch(wide, {}, { x, out: tensor(device, [4], [0, 0, 0, 0]) }, {}, [1]);
      await expect(x.read()).rejects.toThrow(/^webgpu: .*(update the driver|use another device)/);
      device.close();
    });

    test("features are asked for where shaders use them, and left where they are to be done without", async () => {
      const device = (await openGpu({ poison: false, without: ["subgroups", "shader-f16"] })) as WebgpuDevice;
      expect([device.traits.subgroup, device.traits.f16]).toEqual([undefined, false]);
      const y = await einsum(
        "t d, w d -> t w",
        tensor(device, [1, 8], [1, 2, 3, 4, 5, 6, 7, 8]),
        tensor(device, [1, 8], [1, 1, 1, 1, 1, 1, 1, 1]),
      ).read();
      expect([...y]).toEqual([36]);
      const shader = { ...broken, code: () => "@compute @workgroup_size(1) fn main() {}" };
      expect(sourceOf(shader, {}, { f16: false, half: false, subgroup: 0, matrix: false })).not.toMatch(/enable/);
      expect(sourceOf(shader, {}, { f16: true, half: false, subgroup: 8, matrix: false })).toMatch(
        /enable f16;\nenable subgroups;/,
      );
      device.close();
    });
  });
