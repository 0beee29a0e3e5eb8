#!/bin/sh
# @huggingface/gguf 0.4.6 cannot write back a header that it has read where that has a list of bytes, as every GGUF file of a unigram
# tokenizer has (T5, XLM-R, BGE-M3): buildGgufHeader ends with "Array type requires subType to be specified" although it is.
#
# Seen on 2026-11-30 with @huggingface/gguf 0.4.6 (the newest on npm) on a file by gguf 0.19.0 (PyPI), whose add_precompiled_charsmap
# writes `tokenizer.ggml.precompiled_charsmap` as llama.cpp wants it, an array of UINT8. gguf() reads it with its types (subType 0), and
# buildGgufHeader, given just what was read, refuses it; the number of UINT8 is 0, which is taken for none. The same file without that
# list, or with INT8 (1) for it, is written back byte for byte.
#
# Why it matters: this is the function that editors of metadata use, so that a chat template or a token's id cannot be mended in the
# files of such models, and the message sends one to look for a missing type.
#
# Needs python3 with venv and pip, npm with Node from 20 on, and a network. Takes less than a minute. Exits with 1 where this no longer
# holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/write.py" <<'PY'
import numpy
from gguf import GGUFWriter, GGUFValueType

for name, kind in {"none": None, "uint8": GGUFValueType.UINT8, "int8": GGUFValueType.INT8}.items():
    writer = GGUFWriter(f"{name}.gguf", "t5")
    writer.add_block_count(1)
    if kind == GGUFValueType.UINT8:
        writer.add_precompiled_charsmap(bytes([0, 1, 2, 3]))
    elif kind == GGUFValueType.INT8:
        writer.add_key_value("tokenizer.ggml.precompiled_charsmap", [0, 1, 2, 3], GGUFValueType.ARRAY, sub_type=kind)
    writer.add_tensor("token_embd.weight", numpy.zeros((4, 8), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
PY

cat >"$dir/edit.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { buildGgufHeader, gguf } from "@huggingface/gguf";

const found = {};
for (const name of ["none", "uint8", "int8"]) {
  const path = `${name}.gguf`;
  const read = await gguf(path, { allowLocalFile: true, typedMetadata: true });
  const { typedMetadata, tensorInfoByteRange, littleEndian, tensorDataOffset } = read;
  const bytes = readFileSync(path);
  try {
    const header = await buildGgufHeader(new Blob([bytes]), typedMetadata, { littleEndian, tensorInfoByteRange });
    const written = Buffer.from(await header.arrayBuffer());
    found[name] = written.equals(bytes.subarray(0, Number(tensorDataOffset))) ? "byte for byte" : "other bytes";
  } catch (error) {
    found[name] = error.message;
  }
  console.log(`${name} (subType ${typedMetadata["tokenizer.ggml.precompiled_charsmap"]?.subType}): ${found[name]}`);
}
const same =
  found.none === "byte for byte" && found.int8 === "byte for byte" && found.uint8 === "Array type requires subType to be specified";
console.log(same ? "as it was seen" : "no longer as it was seen");
process.exitCode = same ? 0 : 1;
JS

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check gguf==0.19.0
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/gguf@0.4.6
"$dir/venv/bin/python" write.py
node edit.mjs
