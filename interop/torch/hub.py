"""Loads folders as transformers do, continues a prompt greedily with caches and without, saves them: a line of JSON for each."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
for line in sys.stdin:
    folder = line.strip()
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    written = model.generate(ids, max_new_tokens=8, do_sample=False)
    whole = ids
    for _ in range(8):
        whole = torch.cat((whole, model(whole).logits[:, -1:].argmax(-1)), 1)
    try:
        model(ids, attention_mask=torch.tensor([[0, 1, 1, 1, 1]]))
        refused = None
    except ValueError as error:
        refused = str(error)
    with torch.no_grad():
        model.norm.mul_(1.5)
    model.save_pretrained(f"{folder}_saved")
    told = {"written": written[0].tolist(), "whole": whole[0].tolist(), "refused": refused}
    print(json.dumps({**told, "logits": model(ids).logits[0].flatten().tolist()}), flush=True)
