"""How flash-linear-attention's kernels are called: what they would get on a GPU goes to that package's own references, on a CPU.

python interop/torch/delta_kernels.py FOLDER...: a line of JSON for each package that biform export torch wrote. `told` are the arguments that
a call had; errors are the largest differences to what runs without the kernels, beside the largest number.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path

import torch
from fla.ops.gated_delta_rule import chunk_gated_delta_rule
from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule
from fla.ops.kda import chunk_kda
from fla.ops.kda.naive import naive_recurrent_kda

torch.set_num_threads(1)


class Reference:
    """Takes a kernel's place: its arguments have to be those of the kernel, in the shapes that its documentation asks for."""

    def __init__(self, kernel, naive):
        self.signature, self.naive, self.calls = inspect.signature(kernel), naive, []

    def __call__(self, *args, **named):
        bound = self.signature.bind(*args, **named).arguments
        assert "kwargs" not in bound, bound["kwargs"]
        q, k, v, g, beta, state = (bound[name] for name in ("q", "k", "v", "g", "beta", "initial_state"))
        (B, T, H, K), V = q.shape, v.shape[-1]
        assert k.shape == q.shape and v.shape == (B, T, H, V) and beta.shape == (B, T, H), (q.shape, k.shape, v.shape, beta.shape)
        assert g.shape == ((B, T, H, K) if self.naive is naive_recurrent_kda else (B, T, H)), g.shape
        assert g.dtype == torch.float32 and state.dtype == torch.float32 and state.shape == (B, H, K, V), (g.dtype, state.shape)
        assert all(x.is_contiguous() for x in (q, k, state)) and g.max() <= 0, "gates are logarithms of what is kept"
        self.calls.append(bound)
        return self.naive(**bound)


def beside(expected, got):
    return [(expected - got).abs().max().item(), expected.abs().max().item()]


def run(folder):
    package = importlib.import_module(f"{folder.name}.model")
    delta = importlib.import_module(f"{folder.name}.delta")
    assert (delta.chunk_kda, delta.chunk_gated_delta_rule) == (chunk_kda, chunk_gated_delta_rule), "the kernels were not found"
    model = package.load(folder)
    torch.manual_seed(1)
    ids = torch.randint(0, model.embed.shape[0], (2, 37))
    kernels = {
        "kda": Reference(chunk_kda, naive_recurrent_kda),
        "gated_delta_rule": Reference(chunk_gated_delta_rule, naive_recurrent_gated_delta_rule),
    }
    delta.chunk_kda, delta.chunk_gated_delta_rule = kernels.values()

    def results():
        # Two chunks: the second begins from the state that the first one left.
        caches, parts = model.caches(), []
        with torch.no_grad():
            parts = [model(part, caches=caches) for part in ids.split((20, 17), 1)]
        model.zero_grad()
        model(ids, ids).backward()
        # A layer that none of the tokens' losses reach has no gradient.
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return {"logits": torch.cat(parts, 1), **gradients}

    plain, places = results(), [module for module in sys.modules.values() if hasattr(module, "chunked_delta")]
    for module in places:
        module.chunked_delta = lambda q, k, v, beta, state, decay=None, scale=1.0: delta.by_fla(q, k, v, beta, state, decay, scale)
    by_kernels = results()
    found = {name: beside(plain[name], by_kernels[name]) for name in plain}
    told = {name: len(kernel.calls) for name, kernel in kernels.items()}
    return {"package": folder.name, "calls": told, "found": found}


for line in sys.stdin:
    folder = Path(line.strip())
    sys.path.insert(0, str(folder.parent))
    print(json.dumps(run(folder)), flush=True)
    sys.path.pop(0)
