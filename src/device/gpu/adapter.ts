import { DeviceError } from "../../tensor/error.ts";

/** What a GPU offers, by feature and limit: kernels ask for these and never for a vendor. */
export interface Traits {
  /** 16-bit floats in shaders, and whether products with packed weights are to be made of them. */
  readonly f16: boolean;
  readonly products: "f32" | "f16";
  /** Least and most threads of a subgroup; undefined where shaders know of none. */
  readonly subgroup: { readonly least: number; readonly most: number } | undefined;
  /**
   * Subgroup matrices that contractions use: m x k times k x n numbers, added up in float32. Of 32 bits, or where `products` are "f16"
   * also of 16, which operands are then rounded to; undefined where there are none.
   */
  readonly matrix:
    | { readonly m: number; readonly n: number; readonly k: number; readonly type: "f32" | "f16" }
    | undefined;
  /** Bytes of memory that the threads of a workgroup share. */
  readonly shared: number;
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Bytes of one binding, and of one buffer. */
  readonly binding: number;
  readonly buffer: number;
  /** Storage buffers of one launch. */
  readonly bindings: number;
  /** Workgroups along one axis of a launch. */
  readonly groups: number;
  /** Bytes that offsets of uniform bindings are multiples of. */
  readonly alignment: number;
  /** Whether it is a processor that stands in for a GPU, as far as the browser tells. */
  readonly software: boolean;
  /** How the driver calls itself, for reports. */
  readonly name: string;
}

/** A logical device and what it offers. */
export interface Adapter {
  readonly device: GPUDevice;
  readonly traits: Traits;
}

/** Features that are asked for where they are offered. */
const MATRIX = "chromium-experimental-subgroup-matrix";
const wanted: readonly string[] = ["shader-f16", "subgroups", "timestamp-query", MATRIX];
/** Limits that are raised to what the adapter has. */
const raised = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;

/**
 * Opens the GPU that the browser or, in Node, the package `webgpu` offers; `gpu` where the caller has one. Features named in
 * `without` are not asked for. Throws DeviceError where there is none, and says what to do.
 */
export async function openAdapter(
  gpu?: GPU,
  without: readonly string[] = [],
  products: Traits["products"] = "f32",
): Promise<Adapter> {
  const source = gpu ?? (await findGpu(products));
  const found = await source.requestAdapter({ powerPreference: "high-performance" });
  if (!found)
    throw new DeviceError(
      "webgpu: got no adapter, expected a GPU whose driver the browser or Vulkan, Metal or D3D12 knows; " +
        "install its driver, or use --device wasm",
    );
  const { limits, info } = found;
  if (products === "f16" && (!found.features.has("shader-f16") || without.includes("shader-f16")))
    throw new DeviceError(
      "webgpu: got products in f16 and an adapter without shader-f16, expected one that has it; leave it at f32",
    );
  // Matrices of subgroups bring subgroups along.
  const left = without.includes("subgroups") ? [...without, MATRIX] : without;
  const requiredFeatures = wanted.filter((name): name is GPUFeatureName => {
    return (found.features as ReadonlySet<string>).has(name) && !left.includes(name);
  });
  const requiredLimits = Object.fromEntries(raised.map((name) => [name, limits[name]]));
  let device: GPUDevice;
  try {
    device = await found.requestDevice({ requiredFeatures, requiredLimits });
  } catch (error) {
    throw new DeviceError(
      `webgpu: the driver offers limits that it then refuses (${(error as Error).message}), expected a device; ` +
        "update the driver, or use --device wasm",
    );
  }
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  const has = (name: string) => (device.features as ReadonlySet<string>).has(name);
  // Larger ones than a workgroup's part of them would be cut, and a shader must know which one a thread is in.
  const subgroup =
    has("subgroups") && source.wgslLanguageFeatures?.has("subgroup_id") && least && most && most <= 64
      ? { least, most }
      : undefined;
  return {
    device,
    traits: {
      f16: has("shader-f16"),
      products,
      subgroup,
      matrix: subgroup && has(MATRIX) ? matrixOf(info, products === "f16" && has("shader-f16")) : undefined,
      shared: device.limits.maxComputeWorkgroupStorageSize,
      threads: Math.min(device.limits.maxComputeInvocationsPerWorkgroup, device.limits.maxComputeWorkgroupSizeX),
      // Of whole words, as every binding must be: some drivers say 2^31 - 1.
      binding: 4 * Math.floor(device.limits.maxStorageBufferBindingSize / 4),
      buffer: 4 * Math.floor(device.limits.maxBufferSize / 4),
      bindings: device.limits.maxStorageBuffersPerShaderStage,
      groups: device.limits.maxComputeWorkgroupsPerDimension,
      alignment: device.limits.minUniformBufferOffsetAlignment,
      software: info.isFallbackAdapter,
      name: info.description || `${info.vendor} ${info.architecture}`.trim() || "a GPU",
    },
  };
}

/** A configuration of subgroup matrices as Dawn tells it; standard types know none yet. */
interface MatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** The configuration that contractions use, of those that add up in float32: with operands of 16 bits where these may be, else of 32. */
function matrixOf(info: GPUAdapterInfo, half: boolean): Traits["matrix"] {
  const offered = [...((info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> }).subgroupMatrixConfigs ?? [])];
  for (const type of half ? (["f16", "f32"] as const) : (["f32"] as const))
    for (const { M, N, K, componentType, resultComponentType } of offered)
      if (componentType === type && resultComponentType === "f32") return { m: M, n: N, k: K, type };
  return undefined;
}

/** Node's own by what is enabled, kept: devices of the package stop working once nothing refers to what made them. */
const nodes = new Map<string, GPU>();

/**
 * What Dawn has but enables for those alone who ask for it, as who asks for products in 16 bits does: subgroup matrices, whose shape in WGSL
 * is not settled, and 16-bit floats on a driver that fails some of the standard's tests of them.
 */
const enabled = { f32: [], f16: ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia"] } as const;

async function findGpu(products: Traits["products"]): Promise<GPU> {
  const own = globalThis.navigator?.gpu ?? nodes.get(products);
  if (own) return own;
  if (!globalThis.process?.versions?.node)
    throw new DeviceError(
      "webgpu: got a browser without it, expected navigator.gpu; use a current Chrome, Edge, Safari or Firefox over https",
    );
  // A name that no bundler follows: it is an optional package, and of Node alone.
  const name = "webgpu";
  try {
    const { create, globals } = (await import(/* @vite-ignore */ name)) as {
      create(options: readonly string[]): GPU;
      globals: object;
    };
    Object.assign(globalThis, globals);
    const made = create(enabled[products]);
    nodes.set(products, made);
    return made;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    throw new DeviceError(
      missing
        ? "webgpu: got no package webgpu, expected it beside biform; npm install webgpu"
        : `webgpu: the package webgpu did not load (${(error as Error).message}); see its README for what it needs`,
    );
  }
}
