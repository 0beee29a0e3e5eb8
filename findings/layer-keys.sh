#!/bin/sh
# transformers 5.24.0 saves a config that it has loaded with other words for what its layers keep: Gemma 4 loses `global_head_dim`
# and `num_global_key_value_heads`, and MiMo-V2-Flash's `sliding_window` is one more than the file said.
#
# Seen on 2026-11-29. A config.json of two layers each, loaded by AutoConfig and saved by save_pretrained, and the saved one so again:
#
#   gemma4_text    head_dim 16, global_head_dim 32 becomes head_dim 16 and per_layer_config {"1": {"head_dim": 32}}
#   mimo_v2_flash  sliding_window 8, sliding_window_size 8 becomes sliding_window 9 beside sliding_window_size 8
#
# The second time nothing changes any more.
#
# Why it matters: fine-tuned and quantised models are published with the saved file. A calculator that goes by global_head_dim takes the
# layers that see everything for half as wide, since the key is simply gone; one that goes by sliding_window counts a token more
# than the publisher's file says. Readers need both sets of words.
#
# Needs python3 with venv and pip, and a network. Takes about a minute. Exits with 1 where this no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/keys.py" <<'PY'
import json
import os
import sys

from transformers import AutoConfig

root = sys.argv[1]
sizes = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
configs = {
    "gemma4_text": {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "global_head_dim": 32,
        "num_global_key_value_heads": 1,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "mimo_v2_flash": {
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "v_head_dim": 16,
        "swa_num_attention_heads": 8,
        "swa_num_key_value_heads": 4,
        "swa_head_dim": 24,
        "swa_v_head_dim": 16,
        "sliding_window": 8,
        "sliding_window_size": 8,
        "hybrid_layer_pattern": [0, 1],
    },
}
for kind, own in configs.items():
    said = {"model_type": kind, **sizes, **own}
    for step in ("once", "twice"):
        folder = os.path.join(root, f"{kind}-{step}")
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(said, file)
        AutoConfig.from_pretrained(folder).save_pretrained(os.path.join(folder, "saved"))
        with open(os.path.join(folder, "saved", "config.json")) as file:
            said = json.load(file)
        shown = ("head_dim", "global_head_dim", "num_global_key_value_heads", "per_layer_config", "sliding_window", "sliding_window_size")
        print(kind, step, json.dumps({key: said.get(key) for key in shown if key in own or key in said}))
PY

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check transformers==5.24.0
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$dir/venv/bin/python" "$dir/keys.py" "$dir" >"$dir/got.txt"
cat "$dir/got.txt"
cat >"$dir/seen.txt" <<'SEEN'
gemma4_text once {"head_dim": 16, "global_head_dim": null, "num_global_key_value_heads": null, "per_layer_config": {"1": {"head_dim": 32}}, "sliding_window": 8}
gemma4_text twice {"head_dim": 16, "global_head_dim": null, "num_global_key_value_heads": null, "per_layer_config": {"1": {"head_dim": 32}}, "sliding_window": 8}
mimo_v2_flash once {"head_dim": 24, "sliding_window": 9, "sliding_window_size": 8}
mimo_v2_flash twice {"head_dim": 24, "sliding_window": 9, "sliding_window_size": 8}
SEEN
if ! diff "$dir/seen.txt" "$dir/got.txt"; then
  echo "transformers 5.24.0: got other keys (>) than on 2026-11-29 (<)" >&2
  exit 1
fi
echo "as on 2026-11-29: saved configs say in other words, or otherwise, what the loaded ones said"
