#!/bin/sh
# gguf-view of @huggingface/gguf 0.4.6 estimates the cache of models with MLA at 1.9 times what it is, and of hybrids at up to 174 times:
# values are counted beside the latent that is both, and a layer that `head_count_kv` gives 0 heads is counted with all of them.
#
# Seen on 2026-11-30 with @huggingface/gguf 0.4.6 (the newest on npm), headers alone with the keys that llama.cpp's converter writes, at
# 8192 tokens, K and V as printed, beside what llama.cpp v0.5.0 allocates for the same keys (it was asked for sizes alone):
#
#   model                          gguf-view: K, V     llama.cpp
#   DeepSeek-V2-Lite   deepseek2   0.25 GB, 0.23 GB    0.25 GB (27 layers of 512 + 64, no values)
#   Kimi-Linear-48B    kimi-linear 6.11 GB, 5.43 GB    0.07 GB (63 MiB: 7 layers of 512 + 64, 20 of KDA without a cache)
#   LFM2-1.2B          lfm2        0.39 GB, 0.39 GB    0.10 GB (96 MiB: 6 layers of 8 heads, 10 of convolutions)
#
# Why it matters: the total that it prints goes by these numbers, so a hybrid whose cache is 63 MiB is shown to need 11.5 GB, and the
# models that save most look worst. `key_length` and `value_length` of an MLA file are widths of the latent, of which one is kept;
# 0 in a list of heads means none, not "not known".
#
# Needs npm with Node from 20 on and a network. Takes a few seconds. Exits with 1 where this no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/estimate.mjs" <<'JS'
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const [UINT32, STRING, ARRAY] = [4, 8, 9];

function whole(bytes, value) {
  const out = Buffer.alloc(bytes);
  if (bytes === 4) out.writeUInt32LE(value);
  else out.writeBigUInt64LE(BigInt(value));
  return out;
}

const text = (value) => Buffer.concat([whole(8, Buffer.byteLength(value)), Buffer.from(value)]);

function valueOf(value) {
  if (typeof value === "string") return [whole(4, STRING), text(value)];
  if (Array.isArray(value)) return [whole(4, ARRAY), whole(4, UINT32), whole(8, value.length), ...value.map((x) => whole(4, x))];
  return [whole(4, UINT32), whole(4, value)];
}

/** A file of keys, without tensors. */
function header(path, architecture, keys) {
  const all = { "general.architecture": architecture };
  for (const [key, value] of Object.entries(keys)) all[`${architecture}.${key}`] = value;
  const entries = Object.entries(all).flatMap(([key, value]) => [text(key), ...valueOf(value)]);
  const counts = [whole(4, 3), whole(8, 0), whole(8, Object.keys(all).length)];
  // What readers pad to.
  writeFileSync(path, Buffer.concat([Buffer.from("GGUF"), ...counts, ...entries, Buffer.alloc(64)]));
}

const latent = { "attention.key_length": 576, "attention.value_length": 512, "attention.kv_lora_rank": 512 };
const every = (layers, chosen, heads) => Array.from({ length: layers }, (_, i) => (chosen(i) ? heads : 0));
const cases = {
  deepseek2: {
    keys: { block_count: 27, embedding_length: 2048, "attention.head_count": 16, "attention.head_count_kv": 1, ...latent },
    seen: "0.25 0.23",
    gigabytes: 8192 * 27 * 576 * 2e-9,
  },
  "kimi-linear": {
    keys: {
      block_count: 27,
      embedding_length: 2304,
      "attention.head_count": 32,
      "attention.head_count_kv": every(27, (i) => i % 4 === 3 || i === 26, 1),
      ...latent,
    },
    seen: "6.11 5.43",
    gigabytes: 8192 * 7 * 576 * 2e-9,
  },
  lfm2: {
    keys: {
      block_count: 16,
      embedding_length: 2048,
      "attention.head_count": 32,
      "attention.head_count_kv": every(16, (i) => [2, 5, 8, 10, 12, 14].includes(i), 8),
    },
    seen: "0.39 0.39",
    gigabytes: 8192 * 6 * 8 * 128 * 2e-9,
  },
};

let same = true;
for (const [architecture, { keys, seen, gigabytes }] of Object.entries(cases)) {
  header(`${architecture}.gguf`, architecture, keys);
  const printed = execFileSync("npx", ["gguf-view", "--context", "8192", `${architecture}.gguf`], { encoding: "utf8" });
  const found = ["K", "V"].map((name) => new RegExp(`${name} cache\\s*\\|\\s*([0-9.]+) GB`).exec(printed)?.[1]).join(" ");
  console.log(`${architecture}: gguf-view ${found}, kept ${gigabytes.toFixed(2)}`);
  same &&= found === seen;
}
console.log(same ? "as it was seen" : "no longer as it was seen");
process.exitCode = same ? 0 : 1;
JS

cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/gguf@0.4.6
node estimate.mjs
