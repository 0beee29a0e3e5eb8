"""The delta rule: a state S [n v] for each head; per token S <- exp(decay) S; u = beta (v - S^T k); S <- S + k u^T; o = scale S^T q.

Yang et al. (arXiv 2406.06484, 2412.06464); Kimi Linear (arXiv 2510.26692). q and k are [B t g n], v [B t h v], beta [B t h], decay,
a logarithm, [B t h] or [B t h n]; the state is [B h n v]. On a GPU the kernels of flash-linear-attention run where they
are installed, in 16 bits: they take no others.
"""

import torch
import torch.nn.functional as F

from .ops import precise

# Tokens of a chunk: decays between two of them are made for each pair, so that none is ever divided by.
CHUNK = 16

try:
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    from fla.ops.kda import chunk_kda
except ImportError:
    chunk_gated_delta_rule = chunk_kda = None


def chunked_delta(q, k, v, beta, state, decay=None, scale=1.0):
    """Outputs [B t h v] and the state after the last token, chunk by chunk, as products of matrices."""
    if q.is_cuda and chunk_kda is not None and q.dtype in (torch.bfloat16, torch.float16):
        return by_fla(q, k, v, beta, state, decay, scale)
    dtype, t = v.dtype, v.shape[1]
    # What one token leaves all later ones build on: products are precise here whatever they are elsewhere.
    with torch.autocast(q.device.type, enabled=False):
        o, state = by_chunks(*in_chunks(q, k, v, beta, decay), state)
    return (scale * o[:, :t]).to(dtype), state


def by_chunks(q, k, v, beta, decay, state):
    """Outputs [B t h v], unscaled and with those of the tokens that fill the last chunk, and the state."""
    # All tokens' writes U of a chunk from one triangular system, (I + A) U = beta (v - S0^T k); A holds what older keys of it give.
    since = decay.cumsum(3)
    pairs = (since[..., :, None, :] - since[..., None, :, :]).masked_fill(~lower(0, q.device)[..., None], -torch.inf).exp()
    per_head = decay.shape[-1] == 1
    if per_head:
        given = k @ k.mT * pairs[..., 0]
        read = q @ k.mT * pairs[..., 0]
    else:
        given = torch.einsum("B h c i n, B h c j n, B h c i j n -> B h c i j", k, k, pairs)
        read = torch.einsum("B h c i n, B h c j n, B h c i j n -> B h c i j", q, k, pairs)
    system = torch.eye(CHUNK, dtype=q.dtype, device=q.device) + beta[..., None] * given * lower(-1, q.device)
    sides = torch.cat((beta[..., None] * v, beta[..., None] * k * since.exp()), -1)
    solved = torch.linalg.solve_triangular(system, sides, upper=False, unitriangular=True)
    fresh, of_state = solved.split((v.shape[-1], k.shape[-1]), -1)
    kept, late = since[..., -1:, :].exp().mT, k * (since[..., -1:, :] - since).exp()
    state, outputs = state.to(q.dtype), []
    for i in range(v.shape[2]):
        u = fresh[:, :, i] - of_state[:, :, i] @ state
        outputs.append((q[:, :, i] * since[:, :, i].exp()) @ state + read[:, :, i] @ u)
        state = kept[:, :, i] * state + late[:, :, i].mT @ u
    return torch.cat(outputs, 2).transpose(1, 2), state


def recurrent_delta(q, k, v, beta, state, decay=None, scale=1.0):
    """The same token by token: as much work for each however long the past is."""
    dtype, h = v.dtype, v.shape[2]
    q, k = (per_value_head(precise(x), h) for x in (q, k))
    v, beta, state = precise(v), precise(beta), state.to(precise(v).dtype)
    outputs = []
    for i in range(v.shape[1]):
        if decay is not None:
            fade = precise(decay[:, i]).exp()
            state = state * (fade[..., None] if fade.dim() == 3 else fade[..., None, None])
        u = beta[:, i, :, None] * (v[:, i] - torch.einsum("B h n v, B h n -> B h v", state, k[:, i]))
        state = state + torch.einsum("B h n, B h v -> B h n v", k[:, i], u)
        outputs.append(torch.einsum("B h n v, B h n -> B h v", state, q[:, i]))
    return (scale * torch.stack(outputs, 1)).to(dtype), state


def in_chunks(q, k, v, beta, decay):
    """[B h chunks CHUNK width] of each; tokens that fill the last chunk write nothing and leave the state as it is."""
    t, h = v.shape[1:3]
    decay = torch.zeros_like(beta) if decay is None else decay
    decay = decay[..., None] if decay.dim() == 3 else decay
    parts = [per_value_head(q, h), per_value_head(k, h), v, beta[..., None], decay]
    rest = -t % CHUNK
    cut = [F.pad(precise(x), (0, 0, 0, 0, 0, rest)).transpose(1, 2).unflatten(2, (-1, CHUNK)) for x in parts]
    return cut[0], cut[1], cut[2], cut[3][..., 0], cut[4]


def per_value_head(x, h):
    return x if x.shape[2] == h else x.repeat_interleave(h // x.shape[2], 2)


def lower(diagonal, device):
    return torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=device).tril(diagonal)


def by_fla(q, k, v, beta, state, decay, scale):
    q, k = (per_value_head(x, v.shape[2]).contiguous() for x in (q, k))
    decay = torch.zeros_like(beta) if decay is None else decay
    run = chunk_kda if decay.dim() == 4 else chunk_gated_delta_rule
    return run(
        q, k, v, g=precise(decay), beta=beta, scale=scale, initial_state=state.float().contiguous(), output_final_state=True
    )
