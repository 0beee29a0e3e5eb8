"""Training steps of a model that `biform export torch` wrote, in PyTorch on the CPU.

  exported.py FOLDER THREADS COUNT LENGTH [compile]     COUNT rows of LENGTH tokens, always the same; requests as steps.py has them
"""

import importlib
import json
import sys
from pathlib import Path

import torch
from steps import serve


def main():
    folder, threads, count, length = Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    sys.path.insert(0, str(folder.parent))
    model = importlib.import_module(f"{folder.name}.model").load(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    ids = (torch.arange(count * length) * 7919 % vocabulary).view(count, length)
    # What it decays and clips is what Biform's step does too; fused is PyTorch's fastest on this device.
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    run = torch.compile(model) if sys.argv[5:] == ["compile"] else model

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = run(ids, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimiser.step()
        return loss

    serve(step)


if __name__ == "__main__":
    main()
