/**
 * Biform as a process of its own, since V8's flags and threads belong to a process.
 *
 *   node biform.ts DIR BUILD THREADS     BUILD is simd, relaxed, wide, webgpu or webgpu16
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { attention, type Build, gemm, gemv, move, openDevice, tokens, training } from "../biform.ts";
import type { Answer, Request } from "../peer.ts";
import { serve } from "./serve.ts";

const [folder = "", build = "relaxed", threads = "1"] = process.argv.slice(2);
const device = await openDevice(build as Build, Number(threads)).catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
let train: ReturnType<typeof training> | undefined;

function trainer(): ReturnType<typeof training> {
  const bytes = (file: string) => new Uint8Array(readFileSync(join(folder, file))).buffer;
  train ??= training(device, new Float32Array(bytes("weights.f32")), new Int32Array(bytes("tokens.i32")));
  return train;
}

async function answer(request: Request): Promise<Answer> {
  switch (request.op) {
    case "gemm":
      return gemm(device, request.m, request.n, request.k, request.seconds);
    case "move":
      return move(device, request.bytes, request.seconds);
    case "tokens":
      return tokens(device, request.layers, request.tokens);
    case "gemv":
      return gemv(device, request.m, request.k, request.seconds);
    case "attention":
      return attention(device, request.case, request.pass, request.seconds);
    case "train":
      return trainer()(request.steps);
    default:
      return { unsupported: request.op };
  }
}

const source = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8");
const { version } = JSON.parse(source) as { version: string };
await serve({ engine: "Biform", version }, answer);
process.exit(0);
