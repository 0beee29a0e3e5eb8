#!/bin/sh
# transformers 5.24.0 leaves `add_bos_token` of tokenizer_config.json aside; transformers 4.57.6 goes by it.
#
# Seen on 2026-11-29. A folder of two files: a tokenizer.json of four tokens ("H" 0, "i" 1, "<s>" 2, "</s>" 3) that splits
# text as bytes, and a tokenizer_config.json with tokenizer_class LlamaTokenizerFast and bos_token "<s>". The ids of "Hi"
# by AutoTokenizer, for a tokenizer.json whose post-processor adds nothing (ByteLevel, as in the folders of DeepSeek's
# models) and for one whose post-processor adds "<s>" (TemplateProcessing):
#
#   post_processor      add_bos_token  4.57.6    5.24.0
#   ByteLevel           true           2 0 1     0 1      differ
#   ByteLevel           false          0 1       0 1
#   ByteLevel           not there      2 0 1     0 1      differ
#   TemplateProcessing  true           2 0 1     2 0 1
#   TemplateProcessing  false          0 1       2 0 1    differ
#   TemplateProcessing  not there      2 0 1     2 0 1
#
# 4.57.6 writes a post-processor of its own by the key, which is true where it is missing. 5.24.0 loads TokenizersBackend
# with the post-processor of the file. It warns that the class is another one, and says nothing about the key.
#
# Why it matters: the same folder gives other prompt ids after an upgrade, without an error. A model that was trained with
# a token at the begin of every text loses it, and one whose owner switched it off gets it; logits, perplexities and caches
# of prefixes are then another model's. Who compares ids with "transformers" has to say which.
#
# Needs python3 with venv and pip, and a network. Takes about a minute. Exits with 1 where the table above no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/ids.py" <<'PY'
import json
import os
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers import __version__ as below
from transformers import AutoTokenizer, __version__

root = sys.argv[1]
adds = {
    "ByteLevel": processors.ByteLevel(trim_offsets=False),
    "TemplateProcessing": processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)]),
}
print(f"transformers {__version__}, tokenizers {below}", file=sys.stderr)
for name, processor in adds.items():
    for key in (True, False, None):
        folder = os.path.join(root, f"{name}-{key}")
        os.makedirs(folder, exist_ok=True)
        tokenizer = Tokenizer(models.BPE(vocab={"H": 0, "i": 1}, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.add_special_tokens(["<s>", "</s>"])
        tokenizer.post_processor = processor
        tokenizer.save(os.path.join(folder, "tokenizer.json"))
        config = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
        if key is not None:
            config["add_bos_token"] = key
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
            json.dump(config, file)
        loaded = AutoTokenizer.from_pretrained(folder)
        print(name, json.dumps(key), *loaded("Hi")["input_ids"])
PY

# The ids by one version of transformers, installed by itself.
ids() {
  python3 -m venv "$dir/$1"
  "$dir/$1/bin/pip" install --quiet --no-compile --disable-pip-version-check "transformers==$1" "tokenizers==$2"
  HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$dir/$1/bin/python" "$dir/ids.py" "$dir/files-$1" >"$dir/$1.txt"
  cat "$dir/$1.txt"
}

# What was seen must be what is seen now.
same() {
  if ! diff "$dir/seen.txt" "$dir/$1.txt"; then
    echo "transformers $1: got other ids (>) than on 2026-11-29 (<)" >&2
    exit 1
  fi
}

ids 4.57.6 0.22.2
cat >"$dir/seen.txt" <<'SEEN'
ByteLevel true 2 0 1
ByteLevel false 0 1
ByteLevel null 2 0 1
TemplateProcessing true 2 0 1
TemplateProcessing false 0 1
TemplateProcessing null 2 0 1
SEEN
same 4.57.6

ids 5.24.0 0.23.3
cat >"$dir/seen.txt" <<'SEEN'
ByteLevel true 0 1
ByteLevel false 0 1
ByteLevel null 0 1
TemplateProcessing true 2 0 1
TemplateProcessing false 2 0 1
TemplateProcessing null 2 0 1
SEEN
same 5.24.0
echo "as on 2026-11-29: 4.57.6 goes by add_bos_token, 5.24.0 by the post-processor of tokenizer.json alone"
