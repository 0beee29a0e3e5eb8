#!/bin/sh
# llama.cpp v0.5.0 (in node-llama-cpp 3.22.1) cuts text of GGUF files whose tokenizer.ggml.pre is kimi-k2 otherwise than the
# pattern in Kimi K2's own tokenization_kimi.py does: small letters and the capitals after them stay in one piece, and a combining
# mark is cut from its letter.
#
# Seen on 2026-11-29. A vocabulary of the 256 bytes, "oB", "e" with U+0301, "12", and "Ba"; the same as ranks of tiktoken 0.14.0
# (which tokenization_kimi.py uses, with the pattern below) and as merges of a GGUF file without tensors. Numbers of bytes of the
# tokens that a text gives:
#
#   text                        tiktoken    llama.cpp
#   foBar                       1 1 2 1     1 2 1 1    differ: fo|Bar, and foBar in one piece
#   "e" and U+0301              3           1 2        differ: one piece, and two
#   12 34                       2 1 1 1     2 1 1 1
#   Bar                         2 1         2 1
#
# There is no error. llama-vocab.cpp hands this kind to a function of its own in unicode.cpp, in place of a regular expression.
#
# Why it matters: identifiers in camel case are common in what this model is used for, and marks stand in every word of Vietnamese
# or Hindi text that is decomposed. The model then reads pieces that it was not trained on, in GGUF files alone.
#
# Needs python3 with venv and pip, node 22 or later with npm, and a network. Takes about a minute. Exits with 1 where the table
# above no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$dir/python"
"$dir/python/bin/pip" install --quiet --no-compile --disable-pip-version-check tiktoken==0.14.0 gguf==0.19.0
(cd "$dir" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts node-llama-cpp@3.22.1)

cat >"$dir/model.py" <<'PY'
import sys

import tiktoken
from gguf import GGUFWriter

texts = ["foBar", "e\u0301", "12 34", "Bar"]
joined = [("o", "B"), ("e", "\u0301"), ("1", "2"), ("B", "a")]

# Kimi K2's pattern, as tokenization_kimi.py has it.
words = [
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
]
mark = "\u0301".encode()
ranks = {bytes([byte]): byte for byte in range(256)}
for pair in [(mark[:1], mark[1:]), *[(a.encode(), b.encode()) for a, b in joined]]:
    ranks[pair[0] + pair[1]] = len(ranks)
own = tiktoken.Encoding("kimi", pat_str="|".join(words), mergeable_ranks=ranks, special_tokens={})
for text in texts:
    print(*[len(own.decode_single_token_bytes(token)) for token in own.encode(text)])

# The same as merges over bytes written as printable characters.
plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
rest = [byte for byte in range(256) if byte not in plain]
shown = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(rest)}
show = lambda some: "".join(shown[byte] for byte in some)
tokens = [show(some) for some in ranks] + ["<s>"]
pairs = [(mark[:1], mark[1:]), *[(a.encode(), b.encode()) for a, b in joined]]
writer = GGUFWriter(sys.argv[1], "llama")
writer.add_context_length(512)
writer.add_embedding_length(64)
writer.add_block_count(1)
writer.add_feed_forward_length(64)
writer.add_head_count(4)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("kimi-k2")
writer.add_token_list(tokens)
writer.add_token_types([1] * (len(tokens) - 1) + [3])
writer.add_token_merges([f"{show(a)} {show(b)}" for a, b in pairs])
writer.add_bos_token_id(len(tokens) - 1)
writer.add_eos_token_id(len(tokens) - 1)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PY
"$dir/python/bin/python" "$dir/model.py" "$dir/kimi.gguf" >"$dir/tiktoken.txt"

cat >"$dir/ids.mjs" <<'JS'
import { getLlama } from "node-llama-cpp";

const llama = await getLlama({ gpu: false, logLevel: "disabled" });
const model = await llama.loadModel({ modelPath: process.argv[2], vocabOnly: true });
// Tokens of one byte are the first 256; then come the mark alone, its letter with it, and pairs.
const lengths = (id) => (id < 256 ? 1 : id === 258 ? 3 : 2);
for (const text of ["foBar", "e\u0301", "12 34", "Bar"]) console.log(model.tokenize(text, false).map(lengths).join(" "));
process.exit(0);
JS
(cd "$dir" && node ids.mjs "$dir/kimi.gguf" >"$dir/llama.txt" 2>"$dir/log.txt") || { cat "$dir/log.txt" >&2; exit 1; }

echo "tiktoken with Kimi K2's pattern:"
cat "$dir/tiktoken.txt"
echo "llama.cpp:"
cat "$dir/llama.txt"

# What was seen must be what is seen now.
same() {
  if ! diff "$dir/seen.txt" "$dir/$1.txt"; then
    echo "$1: got other tokens (>) than on 2026-11-29 (<)" >&2
    exit 1
  fi
}

cat >"$dir/seen.txt" <<'SEEN'
1 1 2 1
3
2 1 1 1
2 1
SEEN
same tiktoken
cat >"$dir/seen.txt" <<'SEEN'
1 2 1 1
1 2
2 1 1 1
2 1
SEEN
same llama
echo "as on 2026-11-29: llama.cpp keeps small letters and capitals after them together, and cuts marks off, for kimi-k2"
