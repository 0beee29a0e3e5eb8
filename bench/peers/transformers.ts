/**
 * @huggingface/transformers on ONNX Runtime, on the CPU or on a GPU by its WebGPU kernels.
 *
 *   node transformers.ts THREADS|webgpu
 * A checkpoint is a folder with config.json and onnx/model.onnx, onnx/model_q4.onnx or onnx/model_quantized.onnx;
 * it is opened as FOLDER:DTYPE. One `forward` per request, as `generate` makes it: with the cache of the one before, and
 * logits of the last position only.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { AutoModelForCausalLM, DynamicCache, env, Tensor } from "@huggingface/transformers";
import { type Runner, runs } from "./run.ts";
import { serve } from "./serve.ts";

const [threads = "2"] = process.argv.slice(2);
env.allowRemoteModels = false;
const entry = createRequire(import.meta.url).resolve("@huggingface/transformers");
const { version } = JSON.parse(readFileSync(join(dirname(entry), "../package.json"), "utf8")) as { version: string };

async function open(path: string): Promise<Runner> {
  const [folder = "", dtype = ""] = path.split(":");
  env.localModelPath = dirname(folder);
  const model = await AutoModelForCausalLM.from_pretrained(basename(folder), {
    dtype,
    device: threads === "webgpu" ? "webgpu" : "cpu",
    session_options: threads === "webgpu" ? {} : { intraOpNumThreads: Number(threads), interOpNumThreads: 1 },
  });
  const row = (values: ArrayLike<number>) =>
    new Tensor("int64", BigInt64Array.from(Array.from(values, BigInt)), [1, values.length]);
  let length = 0;
  let past: Record<string, Tensor> | null = null;
  // What was cached at the end of the last prompt: on a GPU nothing is cut off what lies there.
  const kept = new Map<number, Record<string, Tensor> | null>();
  let logits = new Float32Array(0);
  return {
    get length() {
      return length;
    },
    get lastLogits() {
      return logits;
    },
    async append(ids) {
      if (ids.length > 1) kept.clear();
      length += ids.length;
      const out = await model.forward({
        input_ids: row(ids),
        attention_mask: row(new Uint8Array(length).fill(1)),
        num_logits_to_keep: new Tensor("int64", BigInt64Array.of(1n), []),
        past_key_values: past && new DynamicCache(past),
      });
      const present = Object.entries(out).filter(([name]) => name.startsWith("present"));
      past = Object.fromEntries(present.map(([name, x]) => [name.replace("present", "past_key_values"), x]));
      if (ids.length > 1) kept.set(length, past);
      logits = out.logits!.data as Float32Array<ArrayBuffer>;
      let next = 0;
      for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[next]!) next = i;
      return next;
    },
    truncate(to) {
      const found = to ? kept.get(to) : null;
      if (found === undefined) throw new Error(`bench: got ${to} tokens to go back to, expected 0 or a prompt's end`);
      past = found;
      length = to;
    },
  };
}

await serve({ engine: "transformers.js", version }, runs(open));
process.exit(0);
