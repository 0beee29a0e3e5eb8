#!/bin/sh
# transformers 5.24.0 leaves the pre-tokenizer and the normalizer of a tokenizer.json aside where tokenizer_config.json
# names a class that has its own; transformers 4.57.6 and the tokenizers library go by the file.
#
# Seen on 2026-11-29. A folder of a tokenizer.json with six tokens ("1" 0, "11" 1, a blank 2, "a" 3, "A" 4 and one special
# 5; the blank is written "Ġ" or "▁") and one merge, "1" with "1"; a tokenizer_config.json with tokenizer_class; a
# config.json with model_type llama. What AutoTokenizer gives:
#
#   in tokenizer.json                             class                    text   4.57.6     5.24.0
#   each digit alone, then bytes                  GPT2Tokenizer            11 11  0 0 2 0 0  1 2 1      differ
#   each digit alone, then bytes                  PreTrainedTokenizerFast  11 11  0 0 2 0 0  0 0 2 0 0
#   up to three digits together, then bytes       Qwen2Tokenizer           11 11  1 2 1      0 0 2 0 0  differ
#   up to three digits together, then bytes       PreTrainedTokenizerFast  11 11  1 2 1      1 2 1
#   blanks as "▁", none put before the text       LlamaTokenizerFast       11 11  1 2 1      2 1 2 1    differ
#   blanks as "▁", none put before the text       PreTrainedTokenizerFast  11 11  1 2 1      1 2 1
#   lower case, then bytes                        GPT2Tokenizer            A      3          4          differ
#   lower case, then bytes                        PreTrainedTokenizerFast  A      3          3
#
# 4.57.6 gives what tokenizers' own Tokenizer.from_file gives, in every row. 5.24.0 does so for PreTrainedTokenizerFast
# alone; for the other classes it takes the vocabulary and the merges of the file and builds the rest as the class does for
# the models it is named after. There is no error and, at the usual level of the log, no warning.
#
# transformers issue 45488 (open, April 2026) tells one case, bytes under LlamaTokenizerFast. 5.24.0 goes by the file there;
# the rows above are what is left.
#
# Why it matters: makers of models train a tokenizer of their own (each digit alone is common) and name the nearest class.
# The same folder then gives other ids for numbers, blanks or capitals after an upgrade, so the model reads pieces that it was
# not trained on. tokenizer.json by itself is no longer what "transformers" does; ids have to be compared with a version.
#
# Needs python3 with venv and pip, and a network. Takes a few minutes. Exits with 1 where the table above no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/ids.py" <<'PY'
import json
import os
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers as pre
from tokenizers import __version__ as below
from transformers import AutoTokenizer, __version__

root = sys.argv[1]
level = pre.ByteLevel(add_prefix_space=False)
three = [pre.Split(Regex(r"\p{N}{1,3}"), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
cases = {
    "digits": ("Ġ", None, pre.Sequence([pre.Digits(individual_digits=True), level]), "GPT2Tokenizer", "11 11"),
    "three": ("Ġ", None, pre.Sequence(three), "Qwen2Tokenizer", "11 11"),
    "blanks": ("▁", None, pre.Metaspace(prepend_scheme="never"), "LlamaTokenizerFast", "11 11"),
    "lower": ("Ġ", normalizers.Lowercase(), level, "GPT2Tokenizer", "A"),
}


def write(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file)


print(f"transformers {__version__}, tokenizers {below}", file=sys.stderr)
for name, (blank, normalizer, splits, own, text) in cases.items():
    for kind in (own, "PreTrainedTokenizerFast"):
        folder = os.path.join(root, f"{name}-{kind}")
        os.makedirs(folder)
        vocab = {"1": 0, "11": 1, blank: 2, "a": 3, "A": 4}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("1", "1")]))
        tokenizer.pre_tokenizer = splits
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.add_special_tokens(["<s>"])
        tokenizer.save(os.path.join(folder, "tokenizer.json"))
        ends = {"bos_token": "<s>", "eos_token": "<s>", "unk_token": "<s>", "pad_token": "<s>"}
        write(folder, "tokenizer_config.json", {"tokenizer_class": kind, "add_bos_token": False, **ends})
        write(folder, "config.json", {"model_type": "llama"})
        by_file = Tokenizer.from_file(os.path.join(folder, "tokenizer.json")).encode(text).ids
        loaded = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
        print(name, kind, *loaded, "as the file" if loaded == by_file else "not as the file")
PY

# The ids by one version of transformers, installed by itself.
ids() {
  python3 -m venv "$dir/$1"
  "$dir/$1/bin/pip" install --quiet --no-compile --disable-pip-version-check "transformers==$1" "tokenizers==$2"
  HF_HUB_OFFLINE=1 "$dir/$1/bin/python" "$dir/ids.py" "$dir/files-$1" >"$dir/$1.txt"
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
digits GPT2Tokenizer 0 0 2 0 0 as the file
digits PreTrainedTokenizerFast 0 0 2 0 0 as the file
three Qwen2Tokenizer 1 2 1 as the file
three PreTrainedTokenizerFast 1 2 1 as the file
blanks LlamaTokenizerFast 1 2 1 as the file
blanks PreTrainedTokenizerFast 1 2 1 as the file
lower GPT2Tokenizer 3 as the file
lower PreTrainedTokenizerFast 3 as the file
SEEN
same 4.57.6

ids 5.24.0 0.23.3
cat >"$dir/seen.txt" <<'SEEN'
digits GPT2Tokenizer 1 2 1 not as the file
digits PreTrainedTokenizerFast 0 0 2 0 0 as the file
three Qwen2Tokenizer 0 0 2 0 0 not as the file
three PreTrainedTokenizerFast 1 2 1 as the file
blanks LlamaTokenizerFast 2 1 2 1 not as the file
blanks PreTrainedTokenizerFast 1 2 1 as the file
lower GPT2Tokenizer 4 not as the file
lower PreTrainedTokenizerFast 3 as the file
SEEN
same 5.24.0
echo "as on 2026-11-29: 4.57.6 goes by tokenizer.json, 5.24.0 by the class where it has splits of its own"
