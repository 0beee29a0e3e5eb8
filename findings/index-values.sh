#!/bin/sh
# llama.cpp allocates values beside the keys of MiniMax-M3's indexer, as many again; its graph reads and writes the keys alone.
#
# Seen on 2026-11-29 with node-llama-cpp 3.22.1 (llama.cpp v0.5.0) and gguf 0.17.1. A file of the architecture minimax-m3 with
# random weights: three layers, one dense and two with an indexer, 2 heads of keys and values of 64 numbers each, an indexer's key
# of 64. What it logs about a context of 32,768 tokens, flash attention, cache in F16:
#
#   cache     layers   keys        values
#   main      3        24.00 MiB   24.00 MiB
#   indexer   2         8.00 MiB    8.00 MiB
#
# An indexer has keys alone. DeepSeek-V3.2's, which goes through the same class, is allocated without values, since that class goes
# by whether the model has MLA; the memory of Qwen3.8-Flash-Next's says so to it on purpose. src/models/minimax-m3.cpp writes and
# reads the keys of this cache only.
#
# Why it matters: at the model's own sizes (57 such layers, keys of 128) it is 14.25 KiB a token, 3.6 GiB at 262,144 tokens, which a
# count by the model's definition does not have; whoever compares a planner with the log finds it 10 % low.
#
# Needs python3 with venv and pip, node 20 or newer with npm, and a network. Takes a minute or two. Exits with 1 where the table
# no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/write.py" <<'PY'
import sys

import numpy as np
from gguf import GGUFWriter

ARCH, LAYERS, WIDTH, HEADS, GROUPS, DIM, INNER, EXPERTS, VOCABULARY = "minimax-m3", 3, 128, 4, 2, 64, 64, 2, 300
random = np.random.default_rng(1)
w = GGUFWriter(sys.argv[1], ARCH)
w.add_vocab_size(VOCABULARY)
w.add_context_length(65536)
w.add_embedding_length(WIDTH)
w.add_block_count(LAYERS)
w.add_feed_forward_length(INNER)
w.add_head_count(HEADS)
w.add_head_count_kv(GROUPS)
w.add_key_length(DIM)
w.add_value_length(DIM)
w.add_layer_norm_rms_eps(1e-6)
w.add_rope_freq_base(10000.0)
w.add_rope_dimension_count(DIM // 2)
w.add_leading_dense_block_count(1)
w.add_expert_count(EXPERTS)
w.add_expert_used_count(1)
w.add_expert_feed_forward_length(INNER)
w.add_expert_shared_count(1)
w.add_float32(f"{ARCH}.expert_weights_scale", 1.0)
w.add_bool(f"{ARCH}.expert_weights_norm", True)
w.add_uint32(f"{ARCH}.expert_gating_func", 2)
# An indexer has as many heads as there are of keys and values.
w.add_uint32(f"{ARCH}.attention.indexer.head_count", GROUPS)
w.add_uint32(f"{ARCH}.attention.indexer.key_length", DIM)
w.add_uint32(f"{ARCH}.attention.indexer.top_k", 16)
w.add_uint32(f"{ARCH}.attention.indexer.block_size", 4)
w.add_uint32(f"{ARCH}.attention.indexer.local_blocks", 1)
w.add_tokenizer_model("no_vocab")


def tensor(name, *shape):
    w.add_tensor(name, (shape[-1] ** -0.5 * random.standard_normal(shape)).astype(np.float32))


tensor("token_embd.weight", VOCABULARY, WIDTH)
tensor("output_norm.weight", WIDTH)
tensor("output.weight", VOCABULARY, WIDTH)
for i in range(LAYERS):
    at = f"blk.{i}."
    tensor(at + "attn_norm.weight", WIDTH)
    tensor(at + "ffn_norm.weight", WIDTH)
    tensor(at + "attn_q.weight", HEADS * DIM, WIDTH)
    tensor(at + "attn_k.weight", GROUPS * DIM, WIDTH)
    tensor(at + "attn_v.weight", GROUPS * DIM, WIDTH)
    tensor(at + "attn_output.weight", WIDTH, HEADS * DIM)
    tensor(at + "attn_q_norm.weight", DIM)
    tensor(at + "attn_k_norm.weight", DIM)
    if i == 0:
        tensor(at + "ffn_gate.weight", INNER, WIDTH)
        tensor(at + "ffn_up.weight", INNER, WIDTH)
        tensor(at + "ffn_down.weight", WIDTH, INNER)
        continue
    tensor(at + "ffn_gate_inp.weight", EXPERTS, WIDTH)
    tensor(at + "exp_probs_b.bias", EXPERTS)
    for part in ("gate", "up"):
        tensor(f"{at}ffn_{part}_exps.weight", EXPERTS, INNER, WIDTH)
        tensor(f"{at}ffn_{part}_shexp.weight", INNER, WIDTH)
    tensor(at + "ffn_down_exps.weight", EXPERTS, WIDTH, INNER)
    tensor(at + "ffn_down_shexp.weight", WIDTH, INNER)
    tensor(at + "indexer.q_proj.weight", GROUPS * DIM, WIDTH)
    tensor(at + "indexer.k_proj.weight", DIM, WIDTH)
    tensor(at + "indexer.q_norm.weight", DIM)
    tensor(at + "indexer.k_norm.weight", DIM)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
PY

cat >"$dir/run.mjs" <<'JS'
import { setTimeout } from "node:timers/promises";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const said = [];
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.info,
  logger: (_, message) => said.push(message),
});
console.log(`llama.cpp ${llama.llamaCppRelease.release}`);
const { AddonModel, AddonContext } = llama._bindings;
const model = new AddonModel(process.argv[2], { addonExports: llama._bindings, gpuLayers: 0 });
const loaded = await model.init();
const settings = { contextSize: 32768, batchSize: 512, sequences: 1, threads: 1, flashAttention: true, kvCacheKeyType: 1, kvCacheValueType: 1 };
if (!loaded || !(await new AddonContext(model, settings).init())) {
  console.error(`minimax-m3: got refused (${said.slice(-3).join("; ")}), expected the file to load`);
  process.exit(1);
}
// What it logs arrives later, the buffer for computing last.
for (let i = 0; i < 500 && !said.some((line) => line.includes("compute buffer size")); i++) await setTimeout(20);
const caches = said.flatMap((line) => {
  const found = /llama_kv_cache: size =.*?(\d+) layers.*K \(f16\): +([\d.]+) MiB, V \(f16\): +([\d.]+) MiB/.exec(line);
  return found ? [found.slice(1).map(Number)] : [];
});
for (const [layers, keys, values] of caches) console.log(`${layers} layers: keys ${keys} MiB, values ${values} MiB`);
const seen = JSON.stringify(caches) === JSON.stringify([[3, 24, 24], [2, 8, 8]]);
console.log(seen ? "as it was seen" : "no longer as it was seen");
process.exit(seen ? 0 : 1);
JS

# Packages for GPUs and other systems (600 MB) are mapped to one that installs nowhere.
cat >"$dir/package.json" <<'JSON'
{
  "private": true,
  "dependencies": { "node-llama-cpp": "3.22.1" },
  "overrides": {
    "node-llama-cpp": {
      "@node-llama-cpp/linux-armv7l": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/linux-riscv64": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/linux-x64-cuda": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/linux-x64-cuda-ext": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/linux-x64-vulkan": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/mac-arm64-metal": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/mac-x64": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/win-arm64": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/win-x64": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/win-x64-cuda": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/win-x64-cuda-ext": "npm:@typescript/typescript-aix-ppc64@7.0.2",
      "@node-llama-cpp/win-x64-vulkan": "npm:@typescript/typescript-aix-ppc64@7.0.2"
    }
  }
}
JSON

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check gguf==0.17.1
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts
"$dir/venv/bin/python" write.py model.gguf
node run.mjs model.gguf
