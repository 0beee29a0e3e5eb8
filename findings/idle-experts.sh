#!/bin/sh
# transformers 5.24.0 refuses every LongCat-Flash checkpoint that has experts which do nothing: its class has gates for those, too.
#
# Seen on 2026-11-30 with torch 2.15.0. A folder of the architecture longcat_flash with random weights, under the names that 4.57.6
# reads without one missing, left over or of another shape: one block, 4 experts and 2 that hand on what they get
# (`zero_expert_num`).
#
#   transformers 4.57.6  loads it; 20896 parameters
#   transformers 5.24.0  22944 parameters: `experts.gate_up_proj` is made for 6 experts and `experts.down_proj` for 4, so the file's
#                        4 gates do not fit, and from_pretrained raises RuntimeError (ignore_mismatched_sizes)
#
# Without idle experts both load it. Each idle one has 2 x 16 x 32 numbers there that nothing reads.
#
# Why it matters: LongCat-Flash-Chat (512 experts and 256 idle ones, 2 x 2048 x 6144 numbers each in 28 blocks) is counted 180 of 562
# billion parameters too large by the class that counts are often taken from, and its files do not load; with
# ignore_mismatched_sizes all its gates are drawn at random.
#
# Needs python3 with venv and pip, a network, and 8 GB of disk, since torch brings what it needs for GPUs. Takes five minutes. Exits
# with 1 where this no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

cat >"$dir/load.py" <<'PY'
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

root, idle = sys.argv[1], int(sys.argv[2])
WIDTH, MLP, INNER, EXPERTS, HEADS, VOCABULARY = 32, 24, 16, 4, 2, 64
config = {
    "architectures": ["LongcatFlashForCausalLM"],
    "model_type": "longcat_flash",
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "ffn_hidden_size": MLP,
    "expert_ffn_hidden_size": INNER,
    "num_layers": 1,
    "num_attention_heads": HEADS,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": EXPERTS,
    "zero_expert_num": idle,
    "moe_topk": 3,
    "max_position_embeddings": 128,
}
generator = torch.Generator().manual_seed(1)
tensors = {}


def add(name, *shape):
    drawn = torch.ones(shape) if len(shape) == 1 else torch.randn(*shape, generator=generator) * shape[-1] ** -0.5
    tensors[name] = drawn


add("model.embed_tokens.weight", VOCABULARY, WIDTH)
add("model.norm.weight", WIDTH)
add("lm_head.weight", VOCABULARY, WIDTH)
for i in range(2):
    add(f"model.layers.0.input_layernorm.{i}.weight", WIDTH)
    add(f"model.layers.0.post_attention_layernorm.{i}.weight", WIDTH)
    at = f"model.layers.0.self_attn.{i}."
    add(at + "q_a_proj.weight", 16, WIDTH)
    add(at + "q_a_layernorm.weight", 16)
    add(at + "q_b_proj.weight", HEADS * 16, 16)
    add(at + "kv_a_proj_with_mqa.weight", 24, WIDTH)
    add(at + "kv_a_layernorm.weight", 16)
    add(at + "kv_b_proj.weight", HEADS * 16, 16)
    add(at + "o_proj.weight", WIDTH, HEADS * 8)
    add(f"model.layers.0.mlps.{i}.gate_proj.weight", MLP, WIDTH)
    add(f"model.layers.0.mlps.{i}.up_proj.weight", MLP, WIDTH)
    add(f"model.layers.0.mlps.{i}.down_proj.weight", WIDTH, MLP)
for i in range(EXPERTS):
    at = f"model.layers.0.mlp.experts.{i}."
    add(at + "gate_proj.weight", INNER, WIDTH)
    add(at + "up_proj.weight", INNER, WIDTH)
    add(at + "down_proj.weight", WIDTH, INNER)
add("model.layers.0.mlp.router.classifier.weight", EXPERTS + idle, WIDTH)
add("model.layers.0.mlp.router.e_score_correction_bias", EXPERTS + idle)
os.makedirs(root)
with open(os.path.join(root, "config.json"), "w") as file:
    json.dump(config, file)
save_file(tensors, os.path.join(root, "model.safetensors"), metadata={"format": "pt"})
made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(root))
count = sum(parameter.numel() for parameter in made.parameters())
try:
    _, told = AutoModelForCausalLM.from_pretrained(root, output_loading_info=True)
    said = "loads it whole" if not any(told.values()) else f"loads it but for {sorted(key for key in told if told[key])}"
except RuntimeError as error:
    said = "refuses it" if "ignore_mismatched_sizes" in str(error) else str(error)
print(f"transformers {transformers.__version__}, {idle} idle: {count} parameters, {said}")
PY

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-cache-dir --no-compile --disable-pip-version-check torch==2.15.0
for version in 4.57.6 5.24.0; do
  "$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --target "$dir/$version" "transformers==$version"
  for idle in 0 2; do
    PYTHONPATH="$dir/$version" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$dir/venv/bin/python" "$dir/load.py" "$dir/model-$version-$idle" "$idle" 2>/dev/null
  done
done >"$dir/got.txt"
cat "$dir/got.txt"
cat >"$dir/seen.txt" <<'SEEN'
transformers 4.57.6, 0 idle: 20832 parameters, loads it whole
transformers 4.57.6, 2 idle: 20896 parameters, loads it whole
transformers 5.24.0, 0 idle: 20832 parameters, loads it whole
transformers 5.24.0, 2 idle: 22944 parameters, refuses it
SEEN
if ! diff "$dir/seen.txt" "$dir/got.txt"; then
  echo "transformers: got otherwise (>) than on 2026-11-30 (<)" >&2
  exit 1
fi
echo "as on 2026-11-30: a checkpoint with idle experts is refused"
