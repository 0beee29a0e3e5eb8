#!/bin/sh
# gguf says that a block of Q8_1 has 40 bytes; in llama.cpp it has 36. And llama.cpp has a type that gguf has no number for.
#
# Seen on 2026-11-29 with gguf 0.19.0 (the newest on PyPI) and @node-llama-cpp/linux-x64 3.22.1 (llama.cpp v0.5.0), whose library
# is asked for the name, the block and the size of each of its types:
#
#   type      llama.cpp: numbers, bytes   gguf: numbers, bytes
#   9 q8_1    32, 36                      32, 40
#   42 q2_0   64, 18                      no such type
#
# All others are the same in both. 40 bytes would be 32 numbers and two factors in float32; llama.cpp has the factors in 16 bits.
#
# Why it matters: who takes sizes from gguf's table is 11 % off for Q8_1, and GGMLQuantizationType(42) is a ValueError ("42 is not a
# valid GGMLQuantizationType") for a type that llama.cpp has.
#
# Needs python3 with venv and pip, npm, and a network, on Linux on x64. Takes less than a minute. Exits with 1 where the table no
# longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/sizes.py" <<'PY'
import ctypes
import sys

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

library = ctypes.CDLL(sys.argv[1])
library.ggml_type_size.restype = ctypes.c_size_t
library.ggml_blck_size.restype = ctypes.c_int64
library.ggml_type_name.restype = ctypes.c_char_p
known = {kind.value: GGML_QUANT_SIZES.get(kind) for kind in GGMLQuantizationType}
found = []
# v0.5.0 has types 0 to 42; numbers that it gave up have no size.
for number in range(43):
    size = library.ggml_type_size(number)
    own = (library.ggml_blck_size(number), size)
    if size and known.get(number) != own:
        name = library.ggml_type_name(number).decode()
        found.append((number, name, own, known.get(number)))
        print(f"{number} {name}: llama.cpp {own}, gguf {known.get(number)}")
seen = found == [(9, "q8_1", (32, 36), (32, 40)), (42, "q2_0", (64, 18), None)]
print("as it was seen" if seen else "no longer as it was seen")
sys.exit(0 if seen else 1)
PY

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check gguf==0.19.0
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts @node-llama-cpp/linux-x64@3.22.1
"$dir/venv/bin/python" sizes.py node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so
