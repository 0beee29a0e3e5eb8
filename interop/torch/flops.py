"""FLOPs of products in a forward pass as PyTorch counts them, of packages that biform export torch wrote: a line of JSON for each."""

import importlib
import json
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

for line in sys.stdin:
    folder, tokens = line.split()
    folder = Path(folder)
    sys.path.insert(0, str(folder.parent))
    model = importlib.import_module(f"{folder.name}.model").load(folder)
    ids = torch.zeros(1, int(tokens), dtype=torch.long)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(ids)
    print(json.dumps({"package": folder.name, "total": counter.get_total_flops()}), flush=True)
    sys.path.pop(0)
