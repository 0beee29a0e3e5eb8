"""An attention that Biform wrote beside one written by hand, both trained by the same PyTorch in turns: the ratio of their times.

python interop/torch/speed.py FOLDER, which biform export torch MLA wrote, at its width; times are of the processor, on one thread.
Who is first in a round is drawn: what else runs on the machine falls on both alike.
"""

import importlib
import json
import random
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class ByHand(nn.Module):
    """MLA expanded, as most codes have it: one projection each, views, one call of scaled_dot_product_attention."""

    def __init__(self, d, h, n, r, v, c, eps):
        super().__init__()
        self.h, self.n, self.r, self.v, self.c, self.eps = h, n, r, v, c, eps
        self.q = nn.Linear(d, h * (n + r), bias=False)
        self.down = nn.Linear(d, c + r, bias=False)
        self.gain = nn.Parameter(torch.ones(c))
        self.up = nn.Linear(c, h * (n + v), bias=False)
        self.out = nn.Linear(h * v, d, bias=False)

    def forward(self, x, cos, sin):
        B, t, _ = x.shape
        qn, qr = self.q(x).view(B, t, self.h, -1).transpose(1, 2).split((self.n, self.r), -1)
        c, kr = self.down(x).split((self.c, self.r), -1)
        kn, v = self.up(F.rms_norm(c, (self.c,), self.gain, self.eps)).view(B, t, self.h, -1).transpose(1, 2).split((self.n, self.v), -1)
        q = torch.cat((qn, turn(qr, cos, sin)), -1)
        k = torch.cat((kn, turn(kr[:, None], cos, sin).expand(-1, self.h, -1, -1)), -1)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=(self.n + self.r) ** -0.5)
        return self.out(o.transpose(1, 2).flatten(2))


def turn(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def seconds(run, x):
    start = time.process_time()
    run(x).square().mean().backward()
    return time.process_time() - start


def main(folder, rows=4, length=256, rounds=31, warm=3):
    torch.set_num_threads(1)
    folder = Path(folder).resolve()
    sys.path.insert(0, str(folder.parent))
    package = importlib.import_module(f"{folder.name}.model")
    config = json.loads((folder / "config.json").read_text())
    z = config["layers"][0]["attention"]["sizes"]
    model = package.load(folder)
    attention = model.layers[0].attention
    cos, sin = package.angles(model.rotations[0], length, torch.device("cpu"), torch.float32)
    at = package.At(cos, sin, "interleaved")
    hand = ByHand(*(z[letter] for letter in "dhnrvc"), 1e-6)
    x = torch.randn(rows, length, z["d"], requires_grad=True)
    runs = {"by hand": lambda x: hand(x, cos, sin), "written": lambda x: attention(x, at)}
    taken = []
    for i in range(rounds + warm):
        order = random.sample(list(runs), 2)
        spent = {name: seconds(runs[name], x) for name in order}
        if i >= warm:
            taken.append(spent)
    best = {name: min(spent[name] for spent in taken) for name in runs}
    ratios = sorted(spent["by hand"] / spent["written"] for spent in taken)
    print(json.dumps({**best, "of bests": best["by hand"] / best["written"], "ratio": ratios[rounds // 2], "rounds": rounds}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
