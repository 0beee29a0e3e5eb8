import type { Device } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";

/** Devices by the names that people give. */
export const deviceNames = ["wasm", "webgpu", "reference"] as const;
export type DeviceName = (typeof deviceNames)[number];

/**
 * Opens a device: `wasm` on so many threads (all that there are unless given), `webgpu` on a GPU, `reference` in float64. It comes with
 * all its kernels, so only the one that is asked for is loaded. Throws DeviceError where it does not start, or has no threads.
 */
export async function openDevice(name: DeviceName, threads?: number): Promise<Device> {
  if (name === "wasm") return (await import("./wasm.ts")).WasmDevice.open(threads ? { threads } : {});
  if (threads !== undefined)
    throw new DeviceError(
      `threads: got ${threads} for ${name}, expected none, since only wasm has any; leave them out`,
    );
  if (name === "reference") return new (await import("./reference.ts")).ReferenceDevice();
  return (await import("./webgpu.ts")).WebgpuDevice.open();
}

/** A device in a report: its kind, and its build or adapter. */
export function deviceText({ kind, build }: Device): string {
  return kind === "wasm" ? `wasm, ${build} build` : build === undefined ? kind : `${kind}, ${build}`;
}
