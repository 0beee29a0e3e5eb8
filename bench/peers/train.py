"""The training step of bench/model.ts in PyTorch on the CPU.

  train.py DIR THREADS     DIR holds layout.json, weights.f32 and tokens.i32; requests as steps.py has them
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from steps import serve


class Model:
    """Decoder-only transformer over one fixed batch: pre-norm RMSNorm, RoPE (half-split pairs), SwiGLU, untied head."""

    def __init__(self, folder):
        layout = json.loads((folder / "layout.json").read_text())
        self.z = layout["sizes"]
        flat = torch.from_numpy(np.fromfile(folder / "weights.f32", np.float32))
        self.p = {}
        for q in layout["parameters"]:
            size = int(np.prod(q["shape"]))
            part = flat[q["offset"] : q["offset"] + size].clone().view(q["shape"])
            self.p[q["name"]] = part.requires_grad_()
        rows = np.fromfile(folder / "tokens.i32", np.int32).reshape(self.z["batch"], -1)
        tokens = torch.from_numpy(rows.astype(np.int64))
        self.inputs, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        half, t = self.z["headDim"] // 2, self.z["tokens"]
        angles = torch.outer(
            torch.arange(t, dtype=torch.float64),
            self.z["ropeBase"] ** (-torch.arange(half, dtype=torch.float64) / half),
        )
        self.cos, self.sin = angles.cos().float(), angles.sin().float()
        self.mask = torch.full((t, t), float("-inf")).triu(1)

    def norm(self, x, gain):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.z["normEpsilon"]) * gain

    def rotate(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat((a * self.cos - b * self.sin, b * self.cos + a * self.sin), -1)

    def attention(self, x, n):
        z, p = self.z, self.p

        def heads(name):
            return (x @ p[f"{n}.{name}"]).view(z["batch"], z["tokens"], z["heads"], z["headDim"]).transpose(1, 2)

        q, k, v = self.rotate(heads("wQ")), self.rotate(heads("wK")), heads("wV")
        if hasattr(F, "scaled_dot_product_attention"):
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            o = ((q @ k.transpose(-1, -2)) * z["headDim"] ** -0.5 + self.mask).softmax(-1) @ v
        return o.transpose(1, 2).reshape(x.shape) @ p[f"{n}.wO"]

    def loss(self):
        p = self.p
        x = F.embedding(self.inputs, p["embedding"])
        for n in range(self.z["layers"]):
            x = x + self.attention(self.norm(x, p[f"{n}.norm1"]), n)
            y = self.norm(x, p[f"{n}.norm2"])
            x = x + (F.silu(y @ p[f"{n}.gate"]) * (y @ p[f"{n}.up"])) @ p[f"{n}.down"]
        logits = self.norm(x, p["norm"]) @ p["head"]
        return F.cross_entropy(logits.flatten(0, 1), self.targets.flatten())


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    model = Model(folder)
    z = model.z
    optimiser = torch.optim.Adam(
        model.p.values(), lr=z["learningRate"], betas=(z["beta1"], z["beta2"]), eps=z["epsilon"], foreach=True
    )

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = model.loss()
        loss.backward()
        optimiser.step()
        return loss

    serve(step)


if __name__ == "__main__":
    main()
