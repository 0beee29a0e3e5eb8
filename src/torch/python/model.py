"""A decoder: embedding, blocks of attention and SwiGLU with RMS norms before each, a head. Parameters are named as Biform names them."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, silu
from torch.utils.checkpoint import checkpoint

from .attention import At, Cache
from .kinds import kinds
from .ops import precise, rms_norm


def weight(*shape):
    return nn.Parameter(torch.zeros(shape))


class Feed(nn.Module):
    """(silu(x wGate) * x wUp) wDown."""

    def __init__(self, d, f, bias=False):
        super().__init__()
        self.wGate, self.wUp, self.wDown = weight(d, f), weight(d, f), weight(f, d)
        self.bGate, self.bUp, self.bDown = (weight(f), weight(f), weight(d)) if bias else (None, None, None)

    def forward(self, x):
        gate, up = x @ self.wGate, x @ self.wUp
        if self.bGate is not None:
            gate, up = gate + self.bGate, up + self.bUp
        y = silu(gate) * up @ self.wDown
        return y if self.bDown is None else y + self.bDown


class Block(nn.Module):
    """Attention and feed-forward, each of the norm of what goes in and added to it."""

    def __init__(self, config, layer, python):
        super().__init__()
        d, said = config["hidden_size"], layer["attention"]
        self.eps, self.factor = config["rms_norm_eps"], (config.get("scales") or {}).get("branch", 1)
        self.normAttention, self.normFeed = weight(d), weight(d)
        self.attention = kinds[python["kind"]](said["sizes"], python["scale"], said.get("window"))
        self.feed = Feed(d, layer["feed"]["f"], layer["feed"].get("bias", False))

    def forward(self, x, at, form=None, cache=None):
        x = x + self.factor * self.attention(rms_norm(x, self.normAttention, self.eps), at, form, cache)
        return x + self.factor * self.feed(rms_norm(x, self.normFeed, self.eps))


class Model(nn.Module):
    """A whole model of a config as Biform's own format has it, with `python`: of which kind each layer's attention is, and its scale."""

    def __init__(self, config):
        super().__init__()
        build(self, config)

    def forward(self, ids, targets=None, form=None, caches=None):
        """Logits [B t vocabulary] of ids [B t]; with targets [B t], -1 where none counts, the mean loss instead."""
        logits = run(self, ids, form, caches)
        if targets is None:
            return logits
        return cross_entropy(precise(logits).flatten(0, 1), targets.flatten().long(), ignore_index=-1)

    def caches(self):
        return [Cache() for _ in self.layers]


def build(module, config):
    """Gives a module the parameters of a model. Raises ValueError where the config is none of this package's."""
    if "python" not in config:
        raise ValueError("config: got no key python, expected one that biform export torch wrote; export the model again")
    layers = [layer for said in config["layers"] for layer in [said] * said["times"]]
    d, vocabulary = config["hidden_size"], config["vocab_size"]
    module.eps, module.scales = config["rms_norm_eps"], config.get("scales") or {}
    module.rotations = [Rotation.of(layer["attention"]["rotation"]) for layer in layers]
    module.checkpointing = False
    module.embed = weight(vocabulary, d)
    module.layers = nn.ModuleList(Block(config, *pair) for pair in zip(layers, config["python"], strict=True))
    module.norm = weight(d)
    module.head = None if config["tie_word_embeddings"] else weight(d, vocabulary)


def run(module, ids, form=None, caches=None):
    """Logits of ids after what caches hold, of one for each layer, whose new tokens they take up."""
    x = module.embed[ids] * module.scales.get("embedding", 1)
    end = ids.shape[1] + (caches[0].length if caches else 0)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    # What is compiled keeps nothing between calls, and has the few cosines among its kernels.
    turns = angles if torch.compiler.is_compiling() else kept_angles
    for i, block in enumerate(module.layers):
        at = At(*turns(module.rotations[i], end, x.device, dtype), module.rotations[i].layout)
        cache = caches[i] if caches else None
        if module.checkpointing and torch.is_grad_enabled():
            x = checkpoint(block, x, at, form, cache, use_reentrant=False)
        else:
            x = block(x, at, form, cache)
    x = rms_norm(x, module.norm, module.eps) * module.scales.get("head", 1)
    return x @ (module.embed.T if module.head is None else module.head)


@dataclass(frozen=True)
class Rotation:
    """How keys and queries are turned by where they stand: radians a token for each pair, and other ones from a place on."""

    frequencies: tuple
    magnitude: float
    layout: str
    beyond: tuple | None = None

    @staticmethod
    def of(said):
        beyond = said.get("beyond")
        far = (beyond["from"], tuple(beyond["frequencies"])) if beyond else None
        return Rotation(tuple(said["frequencies"]), said["magnitude"], said["layout"], far)


def angles(rotation, end, device, dtype):
    """Cosines and sines of each pair's angle at positions 0 to end - 1."""
    # Not every device has float64.
    exact = {"dtype": torch.float64, "device": device if device.type == "cuda" else "cpu"}
    place = torch.arange(end, **exact)[:, None]
    angle = place * torch.tensor(rotation.frequencies, **exact)
    if rotation.beyond:
        start, frequencies = rotation.beyond
        angle = torch.where(place >= start, place * torch.tensor(frequencies, **exact), angle)
    return tuple((wave(angle) * rotation.magnitude).to(device, dtype) for wave in (torch.cos, torch.sin))


kept_angles = lru_cache(maxsize=64)(angles)


def load(folder, dtype=torch.float32):
    """The model of a folder, with its weights."""
    from safetensors.torch import load_file

    model = Model(json.loads((Path(folder) / "config.json").read_text()))
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.to(dtype)
