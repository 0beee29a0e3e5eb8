"""FlexAttention, where what a query sees and what is added to scores follow from places: no mask of the square of the length is held.

Nothing of it is trained on a CPU: PyTorch has no way back there. Elsewhere, and for the other terms, scaled_dot_product_attention runs.
"""

from functools import lru_cache

import torch

try:
    from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention
except ImportError:
    # PyTorch before 2.9.
    flex_attention = None

# Whether FlexAttention runs where it can: None for where it is worth it, on a GPU from LEAST tokens on.
CHOICE = None
LEAST = 128
# Its kernels multiply blocks of no fewer dims.
NARROWEST = 16


def suits(q, k, v):
    """Whether it takes whole sequences q [B h t e], k [B g s e], v [B g s v]: no others, whose lengths change from call to call."""
    if CHOICE is not None or flex_attention is None:
        return bool(CHOICE) and flex_attention is not None and q.shape[2] == k.shape[2]
    long = q.shape[2] == k.shape[2] and q.shape[2] >= LEAST
    return long and q.is_cuda and q.dtype != torch.float64 and min(q.shape[3], v.shape[3]) >= NARROWEST


def attend_by_place(q, k, v, scale, window=None, decay=None, sinks=None):
    """Outputs [B h t v] of softmax over the keys of a window, with forget gates' sums decay [B t h] and sinks [h] as in attend.py."""
    dtype = torch.get_autocast_dtype(q.device.type) if torch.is_autocast_enabled(q.device.type) else q.dtype
    q, k, v = (x.to(dtype) for x in (q, k, v))
    fade = None
    if decay is not None:
        sums = decay.transpose(1, 2).contiguous()

        def fade(score, b, h, query, key):
            return score + sums[b, h, query] - sums[b, h, key]

    o, aux = runner(q)(
        q,
        k,
        v,
        score_mod=fade,
        block_mask=blocks(q.shape[2], window, q.device),
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
        return_aux=AuxRequest(lse=sinks is not None),
    )
    if sinks is None:
        return o
    # A sink is a key more under the sum, which gives nothing: o exp(lse) / (exp(lse) + exp(sink)).
    return o * torch.sigmoid(aux.lse - sinks.to(aux.lse.dtype)[:, None])[..., None].to(o.dtype)


def runner(q):
    """Compiled where it makes a kernel; inside of what is compiled already it is part of that."""
    if torch.compiler.is_compiling() or not q.is_cuda:
        return flex_attention
    return compiled()


@lru_cache(maxsize=1)
def compiled():
    return torch.compile(flex_attention, dynamic=False)


@lru_cache(maxsize=64)
def blocks(t, window, device):
    """Which blocks of keys are seen: none that comes later, and only the newest of a window."""

    def seen(_b, _h, query, key):
        near = key <= query
        return near if window is None else near & (key > query - window)

    return create_block_mask(seen, None, None, t, t, device=device)
