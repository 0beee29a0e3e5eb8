/** Where the worker computes, a GPU or the processor, and how fast that is. */
import { commonMachine, type Machine, type Measured, tune, WasmDevice, WebgpuDevice } from "biform/run";

/** What a visitor asks for: `best` is a GPU where there is a real one, else the processor. */
export type Where = "best" | "webgpu" | "wasm";
export type PageDevice = WasmDevice | WebgpuDevice;

/** Seconds of measuring in a page, and the part of the usual sizes: with laying things out it is below five seconds. A software GPU spends some of these compiling. */
const [SECONDS, SOFTWARE_SECONDS, SHARE] = [2, 1, 1 / 4];

/** Opens what was asked for. A software GPU is slower than the processor that it runs on: it is for those who ask for it by name. */
export async function openDevice(on: Where): Promise<PageDevice> {
  if (on !== "wasm")
    try {
      const gpu = await WebgpuDevice.open();
      if (on === "webgpu" || !gpu.traits.software) return gpu;
      gpu.close();
    } catch (error) {
      if (on === "webgpu") throw error;
    }
  // Only an isolated page may share memory with threads.
  return WasmDevice.open({ threads: crossOriginIsolated ? undefined : 1 });
}

/** A device in words, with what it lacks. */
export function deviceText(device: PageDevice): string {
  if (device.kind === "webgpu") return `the GPU (${device.build}${device.traits.f16 ? "" : ", without 16-bit floats"})`;
  return device.threads === 1 ? "one thread" : `${device.threads} threads`;
}

export const isSoftware = (device: PageDevice) => device.kind === "webgpu" && device.traits.software;

/** What was measured of such a device in this browser; the storage of a page is of one browser on one machine. */
export function figuresOf({ build, threads }: PageDevice, kept: readonly Measured[]): Measured | undefined {
  return kept.find((figures) => figures.build === build && figures.threads === threads);
}

/** Whose speed decides about forms: as it was measured here, or a common one. */
export function machineOf(device: PageDevice, kept: readonly Measured[]): Machine {
  return figuresOf(device, kept)?.machine ?? commonMachine;
}

/** Measures a device; `watch` sees how much of it is done. Throws DeviceError where memory is too small. */
export async function tuneHere(device: PageDevice, watch: (done: number) => void): Promise<Measured> {
  const machine = await tune(device, {
    seconds: isSoftware(device) ? SOFTWARE_SECONDS : SECONDS,
    rounds: 1,
    share: SHARE,
    watch: (done, total) => watch(done / total),
  });
  const { build, threads } = device;
  return { cpu: "this browser", build, threads, date: new Date().toISOString(), machine };
}
