"""Attention whose score is a sum of terms, each a query and its key: per head, per group of heads, or shared by all."""

import torch
import torch.nn.functional as F

from .flex import attend_by_place, suits
from .ops import precise, visible


def attend(values, terms, scale, window=None, decay=None, sinks=None, stick=None, chosen=None):
    """Heads' outputs [B t h v] of the last t of s tokens.

    terms: pairs of a query [B t h e] and a key [B s g e] or [B s e]. values: one or more of [B s g v] or [B s v], laid side by side.
    decay [B s h]: running sums of log forget gates. sinks [h]: a logit of its own for each head. chosen [B t s]: the only keys a
    query sees. stick: weights by stick-breaking instead of softmax, from the query's own key ("current") or an older one ("older").
    """
    values = values if isinstance(values, (list, tuple)) else [values]
    queries = [query for query, _ in terms]
    t, h = queries[0].shape[1:3]
    keys, groups = grouped([key for _, key in terms] + values, h)
    # Heads come first before terms are laid side by side: what lies so is not copied once more.
    parts = queries, keys[: len(terms)], keys[len(terms) :]
    q, k, v = (together([x.transpose(1, 2) for x in own], -1) for own in parts)
    s = k.shape[2]
    if stick is not None:
        return break_sticks(q, each_head(k, h), each_head(v, h), scale, window, stick).transpose(1, 2)
    by_place = window is not None or decay is not None or sinks is not None
    if by_place and chosen is None and suits(q, k, v):
        return attend_by_place(q, k, v, scale, window, decay, sinks).transpose(1, 2)
    mask = None
    if window is not None or chosen is not None or (1 < t < s):
        mask = visible(t, s, window, q.device)
    if chosen is not None:
        mask = (mask & chosen)[:, None]
    if decay is not None:
        seen = visible(t, s, window, q.device) if mask is None else mask
        fades = (decay[:, -t:, None] - decay[:, None]).permute(0, 3, 1, 2)
        mask = fades.masked_fill(~seen, -torch.inf).to(q.dtype)
    if sinks is not None:
        seen = visible(t, s, window, q.device) if mask is None else mask
        bias = seen if seen.is_floating_point() else q.new_zeros(seen.shape).masked_fill(~seen, -torch.inf)
        logits = sinks.to(q.dtype).view(1, h, 1, 1).expand(q.shape[0], h, t, 1)
        # A key of zeros, whose score is the sink, and whose value gives nothing.
        mask = torch.cat((bias.expand(q.shape[0], h, t, s), logits), -1)
        k, v = (F.pad(x, (0, 0, 0, 1)) for x in (k, v))
    causal = mask is None and t == s and t > 1
    o = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=groups != h)
    return o.transpose(1, 2)


def attend_factored(q, ak, bk, av, bv, scale, window=None):
    """The same over keys and values given by their factors: head factors a [B s h p], dim factors b [B s p e]; none is put together.

    A factor without its first two axes is the same for all tokens.
    """
    t = q.shape[1]
    axes = ["B s " if x.dim() == 4 else "" for x in (ak, bk, av, bv)]
    s = next(x.shape[1] for x in (ak, bk, av, bv) if x.dim() == 4)
    scores = torch.einsum(f"B t h e, {axes[1]}p e, {axes[0]}h p -> B h t s", q, bk, ak)
    hidden = ~visible(t, s, window, q.device)
    weights = precise(scores * scale).masked_fill(hidden, -torch.inf).softmax(-1).to(q.dtype)
    return torch.einsum(f"B h t s, {axes[2]}h p, {axes[3]}p v -> B t h v", weights, av, bv)


def break_sticks(q, k, v, scale, window, stick):
    """Each key, from the newest seen back, takes sigmoid(score) of what newer ones left; what all leave goes to the token's own value."""
    t, s = q.shape[2], k.shape[2]
    z = precise(q @ k.transpose(-1, -2)) * scale
    seen = visible(t, s, window, q.device)
    if stick == "older":
        seen = seen.tril(s - t - 1)
    left = F.logsigmoid(-z).masked_fill(~seen, 0).flip(-1).cumsum(-1).flip(-1)
    newer = F.pad(left[..., 1:], (0, 1))
    weights = (F.logsigmoid(z) + newer).exp().masked_fill(~seen, 0).to(v.dtype)
    return weights @ v + left[..., :1].exp().to(v.dtype) * v[:, :, -t:]


def grouped(parts, h):
    """Keys and values [B s g e] or [B s e] over one number of groups: what is shared by all is seen by each, without a copy."""
    counts = [x.shape[2] if x.dim() == 4 else 1 for x in parts]
    groups = max(counts)
    if any(groups % count for count in counts):
        groups = h
    return [over_groups(x, groups) for x in parts], groups


def over_groups(x, groups):
    if x.dim() == 3:
        x = x[:, :, None]
    if x.shape[2] == 1:
        return x.expand(-1, -1, groups, -1)
    return x if x.shape[2] == groups else x.repeat_interleave(groups // x.shape[2], 2)


def each_head(x, h):
    """[B g s e] to [B h s e]."""
    return x if x.shape[1] == h else x.repeat_interleave(h // x.shape[1], 1)


def together(parts, axis):
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)
