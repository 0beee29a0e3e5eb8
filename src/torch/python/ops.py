"""What attentions are made of. Letters: B sequences, t new tokens, s all tokens, h heads, g groups; other letters are widths."""

import torch
import torch.nn.functional as F


def precise(x):
    """x in float32 at least: for sums, norms and angles."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def einsum(spec, x, w):
    """torch.einsum of two; the last axes of x by the first of a weight are one product of matrices, not a batch of one that is copied."""
    a, b, out = (part.split() for part in spec.replace(" ->", ",").split(", "))
    k = len(set(a) & set(b))
    if not 0 < k < len(b) or a[-k:] != b[:k] or out != a[:-k] + b[k:]:
        return torch.einsum(spec, x, w)
    return (x.flatten(-k) @ w.flatten(0, k - 1).flatten(1)).unflatten(-1, w.shape[k:])


def rms_norm(x, gain, eps):
    """x / sqrt(mean(x^2) + eps) * gain over the last axis; the gain has the last axes, or is None."""
    if gain is not None and gain.dim() == 1 and gain.dtype == x.dtype:
        return F.rms_norm(x, (x.shape[-1],), gain, eps)
    y = F.rms_norm(precise(x), (x.shape[-1],), None, eps).to(x.dtype)
    return y if gain is None else y * gain.to(x.dtype)


def rope(x, at, back=False):
    """Turns the last dims of each vector of x [B t ... e] by where its token stands; back turns the other way (VO-RoPE)."""
    pairs = at.cos.shape[-1]
    if pairs == 0:
        return x
    t = x.shape[1]
    lead = (t,) + (1,) * (x.dim() - 3) + (pairs,)
    cos, sin = at.cos[-t:].view(lead), at.sin[-t:].view(lead)
    if back:
        sin = -sin
    still = x.shape[-1] - 2 * pairs
    y = precise(x[..., still:])
    if at.layout == "interleaved":
        a, b = y.unflatten(-1, (pairs, 2)).unbind(-1)
        y = torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        y = torch.cat((a * cos - b * sin, a * sin + b * cos), -1)
    y = y.to(x.dtype)
    return torch.cat((x[..., :still], y), -1) if still else y


def accumulate(x, start):
    """Sums of x [B t ...] along the tokens, going on from start [B ...]; summed in float64, kept in float32 at least."""
    return (x.double().cumsum(1) + start[:, None].double()).to(precise(x).dtype)


def previous(x, first):
    """The token before each of x [B t ...]; before the first stands first [B ...]."""
    return torch.cat((first[:, None].to(x.dtype), x[:, :-1]), 1)


def short_conv(x, taps, before, bias=None, unit=False):
    """A causal convolution of x [B t ...] with taps [... w] and its silu; before [B w-1 ...] are the tokens before the first.

    Gives it, with vectors brought to unit length where asked, and what stands before the next call.
    """
    t, width = x.shape[1], taps.shape[-1]
    rows = torch.cat((before.to(x.dtype), x), 1)
    line = F.conv1d(rows.flatten(2).transpose(1, 2), taps.flatten(0, -2)[:, None], groups=taps.shape[:-1].numel())
    y = line.transpose(1, 2).unflatten(2, x.shape[2:])
    y = F.silu(y if bias is None else y + bias)
    if unit:
        y = y * precise(y).square().sum(-1, keepdim=True).add(1e-6).rsqrt().to(y.dtype)
    return y, rows[:, t : t + width - 1]


def placement(groups, width, start, columns, like):
    """Zeros and ones [groups width columns] that put each group's numbers in its place of a row, the first at start."""
    places = torch.zeros(groups * width, columns, dtype=like.dtype, device=like.device)
    places.diagonal(start).fill_(1)
    return places.view(groups, width, columns)


def centring(n, like):
    """What takes the mean away: the identity less 1 / n."""
    return torch.eye(n, dtype=like.dtype, device=like.device) - 1 / n


def visible(t, s, window, device):
    """Which of s keys each of the last t tokens sees [t s]: none that comes later, and only the newest of a window."""
    place = torch.arange(s - t, s, device=device)[:, None]
    key = torch.arange(s, device=device)[None]
    seen = key <= place
    return seen if window is None else seen & (key > place - window)


def select(q, k, weights, scale, count):
    """The keys of highest score for each query [B t s]: q [B t j i], k [B s i], weights [B t j]; the older one of equals."""
    with torch.no_grad():
        t, s = q.shape[1], k.shape[1]
        heads = torch.einsum("B t j i, B s i -> B t j s", precise(q), precise(k)).mul(scale).relu()
        scores = torch.einsum("B t j s, B t j -> B t s", heads, precise(weights))
        seen = visible(t, s, None, q.device)
        order = scores.masked_fill(~seen, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order[..., :count], True)
        return chosen & seen
