import type { Kernel, Operation } from "../tensor/device.ts";
import { combineWebgpu, updateWebgpu } from "./add/webgpu.ts";
import { contractWebgpu } from "./einsum/webgpu.ts";
import type { Kernels } from "./kernel.ts";

const kernels: Partial<Kernels> = {
  combine: combineWebgpu,
  contract: contractWebgpu,
  update: updateWebgpu,
};

/** What the WebGPU device runs: every op as launches of its shaders, in float32. */
export function webgpuKernel({ name }: Operation): Kernel | undefined {
  return kernels[name as keyof Kernels];
}
