import { DeviceError } from "../tensor/error.ts";
import { binaries } from "./binary.ts";

/** A build of the kernels: see scripts/kernels.ts. */
export type Build = keyof typeof binaries;

/** Compiles a build of the kernels. */
export async function chooseBuild(wanted?: Build): Promise<{ build: Build; module: WebAssembly.Module }> {
  const v8 = globalThis.process?.getBuiltinModule?.("node:v8");
  v8?.setFlagsFromString("--experimental-wasm-revectorize");
  const build = wanted ?? (globalThis.process?.env?.BIFORM_WASM as Build) ?? "wide";
  if (!(build in binaries))
    throw new DeviceError(`wasm build: got "${build}", expected ${Object.keys(binaries).join(", ")}`);
  const bytes = Uint8Array.from(atob(binaries[build]), (c) => c.charCodeAt(0));
  return { build, module: await WebAssembly.compile(bytes) };
}
