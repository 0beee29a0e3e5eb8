/**
 * Biform running a checkpoint.
 *
 *   node runner.ts THREADS|webgpu [CACHE]     with a cache of bf16, or of another type
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WasmDevice } from "../../src/device/wasm.ts";
import { WebgpuDevice } from "../../src/device/webgpu.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import { gemv, openCheckpoint } from "../biform.ts";
import { runs } from "./run.ts";
import { serve } from "./serve.ts";

const [threads = "2", cache = "bf16"] = process.argv.slice(2);
const device = await (threads === "webgpu" ? WebgpuDevice.open() : WasmDevice.open({ threads: Number(threads) }));
const run = runs((file, context) => openCheckpoint(device, file, { context, cache: cache as CacheType }));
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
await serve({ engine: "Biform", version }, async (request) =>
  request.op === "gemv" ? gemv(device, request.m, request.k, request.seconds) : run(request),
);
process.exit(0);
