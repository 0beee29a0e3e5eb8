#!/bin/sh
# llama.cpp keeps the rate of KDA's decay under one name, blk.N.ssm_a, with one sign for Kimi Linear and the other for Ling 3.0,
# and loads a file with the wrong one without a word.
#
# Seen on 2026-11-29 with node-llama-cpp 3.22.1 (llama.cpp v0.5.0) and gguf 0.17.1. Folders of both models hold A_log. In a GGUF
# file of the architecture kimi-linear ssm_a is -e^A_log, [1, 1, heads, 1]; of bailingmoe3 it is e^A_log, [heads, 1], since its
# bounded decay is lower_bound * sigmoid(ssm_a * x). Two layers of random weights, one KDA and one MLA, 24 tokens, A_log 1; how
# far the last token's logits lie from those of the right file, as a share of their spread:
#
#   architecture   ssm_a         logits off by   refused   warning
#   kimi-linear    e^A_log       0.49            no        none
#   bailingmoe3    -e^A_log      0.62            no        none
#
# Why it matters: who writes or reads such files by analogy (the names are the same in both) gets other logits instead of an
# error: under kimi-linear a state that grows (in a model of four layers with A_log up to 2.5 every logit was NaN), under
# bailingmoe3 one that forgets what it should keep. A reader can look: all numbers of ssm_a have the same sign, which is
# negative under kimi-linear and positive under bailingmoe3.
#
# Needs python3 with venv and pip, node 20 or newer with npm, and a network. Takes a minute or two. Exits with 1 where the table
# no longer holds: where a file is refused or warned of, or gives nearly the same logits.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/write.py" <<'PY'
import sys

import numpy as np
from gguf import GGUFWriter

arch, sign, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
WIDTH, HEADS, DIM, LATENT, NOPE, ROPE, VOCABULARY, TAPS = 64, 2, 32, 32, 32, 16, 300, 4
ling = arch == "bailingmoe3"
random = np.random.default_rng(1)
w = GGUFWriter(path, arch)
w.add_vocab_size(VOCABULARY)
w.add_context_length(128)
w.add_embedding_length(WIDTH)
w.add_block_count(2)
w.add_feed_forward_length(96)
w.add_head_count(HEADS)
w.add_head_count_kv([0, 1])
w.add_layer_norm_rms_eps(1e-6)
w.add_rope_freq_base(10000.0)
w.add_rope_dimension_count(ROPE)
w.add_key_length(LATENT + ROPE)
w.add_value_length(LATENT)
w.add_uint32(f"{arch}.attention.key_length_mla", NOPE + ROPE)
w.add_uint32(f"{arch}.attention.value_length_mla", DIM)
w.add_kv_lora_rank(LATENT)
w.add_uint32(f"{arch}.ssm.conv_kernel", TAPS)
w.add_uint32(f"{arch}.kda.head_dim", DIM)
# Both layers have a dense feed-forward half; the keys of experts must be there all the same.
w.add_leading_dense_block_count(2)
w.add_expert_feed_forward_length(32)
w.add_expert_shared_count(0)
w.add_uint32(f"{arch}.expert_gating_func", 2)
if ling:
    w.add_bool(f"{arch}.kda.safe_gate", True)
    w.add_float32(f"{arch}.kda.gate_lower_bound", -5.0)
w.add_tokenizer_model("no_vocab")


def tensor(name, *shape, mean=0.0, deviation=None):
    spread = shape[-1] ** -0.5 if deviation is None else deviation
    w.add_tensor(name, (mean + spread * random.standard_normal(shape)).astype(np.float32))


ALL = HEADS * DIM
tensor("token_embd.weight", VOCABULARY, WIDTH, deviation=1.0)
tensor("output_norm.weight", WIDTH, mean=1.0, deviation=0.1)
tensor("output.weight", VOCABULARY, WIDTH)
for i in range(2):
    at = f"blk.{i}."
    tensor(at + "attn_norm.weight", WIDTH, mean=1.0, deviation=0.1)
    tensor(at + "ffn_norm.weight", WIDTH, mean=1.0, deviation=0.1)
    tensor(at + "ffn_gate.weight", 96, WIDTH)
    tensor(at + "ffn_up.weight", 96, WIDTH)
    tensor(at + "ffn_down.weight", WIDTH, 96)
    tensor(at + "attn_output.weight", WIDTH, ALL)
for part in "qkv":
    tensor(f"blk.0.attn_{part}.weight", ALL, WIDTH)
    tensor(f"blk.0.ssm_conv1d_{part}.weight", 1, ALL, 1, TAPS)
if ling:
    tensor("blk.0.ssm_f_a.weight", ALL, WIDTH)
    tensor("blk.0.ssm_g_a.weight", ALL, WIDTH)
else:
    for part in "fg":
        tensor(f"blk.0.ssm_{part}_a.weight", DIM, WIDTH)
        tensor(f"blk.0.ssm_{part}_b.weight", ALL, DIM)
tensor("blk.0.ssm_beta.weight", HEADS, WIDTH)
tensor("blk.0.ssm_dt.bias", ALL, deviation=0.5)
tensor("blk.0.ssm_norm.weight", DIM, mean=1.0, deviation=0.1)
# What the folder calls A_log, 1 in either head, as this architecture's kernels take it, or the other way round.
rate = sign * np.full((HEADS, 1), np.exp(1.0), np.float32)
w.add_tensor("blk.0.ssm_a", rate if ling else rate.reshape(1, 1, HEADS, 1))
tensor("blk.1.attn_q.weight", HEADS * (NOPE + ROPE), WIDTH)
tensor("blk.1.attn_kv_a_mqa.weight", LATENT + ROPE, WIDTH)
tensor("blk.1.attn_kv_a_norm.weight", LATENT, mean=1.0, deviation=0.1)
tensor("blk.1.attn_k_b.weight", HEADS, LATENT, NOPE)
tensor("blk.1.attn_v_b.weight", HEADS, DIM, LATENT)
if ling:
    tensor("blk.1.attn_gate.weight", HEADS, WIDTH)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
PY

cat >"$dir/run.mjs" <<'JS'
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const said = [];
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.warn,
  logger: (_, message) => said.push(message.trim()),
});
const { AddonModel, AddonContext, AddonSampler } = llama._bindings;
console.log(`llama.cpp ${llama.llamaCppRelease.release}`);
const ids = Uint32Array.from({ length: 24 }, (_, i) => (i * 7919 + 13) % 300);

async function logits(file) {
  said.length = 0;
  const model = new AddonModel(file, { addonExports: llama._bindings, gpuLayers: 0 });
  if (!(await model.init())) return { refused: said.join("; ") };
  const context = new AddonContext(model, { contextSize: 128, batchSize: 128, sequences: 1, threads: 1, kvCacheKeyType: 0, kvCacheValueType: 0 });
  if (!(await context.init())) return { refused: said.join("; ") };
  const sampler = new AddonSampler(model);
  sampler.applyConfig({ temperature: 0 });
  context.initBatch(ids.length);
  const [place] = context.addToBatch(0, 0, ids, Uint32Array.of(ids.length - 1));
  await context.decodeBatch();
  const [, , , pairs] = await context.sampleToken(place, sampler, false, false, true);
  const row = new Float64Array(pairs.length / 2);
  for (let k = 0; k < pairs.length; k += 2) row[pairs[k]] = pairs[k + 1];
  sampler.dispose();
  await context.dispose();
  await model.dispose();
  return { row, warned: said.filter((line) => /ssm_a|sign|negative|positive|nan/i.test(line)) };
}

const spread = (x) => Math.sqrt(x.reduce((sum, y) => sum + y * y, 0) / x.length);
for (const [arch, own] of [["kimi-linear", -1], ["bailingmoe3", 1]]) {
  const [right, other] = [await logits(`${arch}.${own}.gguf`), await logits(`${arch}.${-own}.gguf`)];
  for (const { refused } of [right, other])
    if (refused !== undefined) {
      console.error(`${arch}: got refused (${refused}), expected both files to load`);
      process.exit(1);
    }
  const none = (x) => x.row.some(Number.isNaN);
  const apart = none(other) ? "NaN" : (spread(right.row.map((x, i) => x - other.row[i])) / spread(right.row)).toFixed(2);
  const warned = right.warned.length + other.warned.length;
  console.log(`${arch}: with the other sign off by ${apart} of the logits' spread, warnings ${warned}`);
  if (none(right) || (apart !== "NaN" && Number(apart) < 0.1) || warned) process.exitCode = 1;
}
if (process.exitCode) console.error("llama.cpp: got something else than on 2026-11-29");
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
for arch in kimi-linear bailingmoe3; do
  for sign in 1 -1; do "$dir/venv/bin/python" write.py $arch $sign $arch.$sign.gguf; done
done
node run.mjs
echo "as on 2026-11-29: either sign of ssm_a loads, and the other one gives other logits"
