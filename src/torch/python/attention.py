"""What every attention shares: its parameters by name, its cache, and the way through its functions."""

from dataclasses import dataclass

import torch
from torch import nn

from .attend import attend, attend_factored
from .ops import precise


@dataclass
class At:
    """Where tokens stand: cosines and sines of their angles [s pairs], of all tokens so far, the new ones last."""

    cos: torch.Tensor
    sin: torch.Tensor
    layout: str


class Cache:
    """What one layer keeps of its sequences: parts of every token [B s ...], and a state of fixed size."""

    def __init__(self):
        self.parts, self.state, self.length = {}, None, 0

    def append(self, fresh):
        """Adds the new tokens' parts and gives those of all."""
        for name, rows in fresh.items():
            old = self.parts.get(name)
            self.parts[name] = rows if old is None else torch.cat((old, rows), 1)
        return self.parts


class Attention(nn.Module):
    """An attention at sizes; a variant is a class that says its parameters, cache and state by their axes, and its functions.

    sizes: by letter, d width, h heads, g groups, n and r key dims without and with position, e both, v value dims, c, q, o ranks.
    """

    forms: tuple = ()
    unfolded: tuple = ()
    params: dict = {}
    cache: dict = {}
    exact: tuple = ()
    state: dict = {}

    def __init__(self, sizes, scale, window=None):
        super().__init__()
        self.sizes, self.scale, self.window = sizes, scale, window
        self.eps, self.floor = sizes.get("eps", 1e-6), sizes.get("floor", -5)
        for letter in "dhgnrevcqobklwijm":
            setattr(self, letter, sizes.get(letter, 0))
        for name, axes in self.params.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(self.shape(axes))))

    def shape(self, axes):
        return [getattr(self, axis[0]) - axis.endswith("-1") for axis in axes.split()]

    def attend(self, values, *terms, scale=None, **more):
        return attend(values, terms, self.scale if scale is None else scale, self.window, **more)

    def attend_factored(self, *factors, scale):
        return attend_factored(*factors, scale=scale, window=self.window)

    def fresh_state(self, x):
        rows = precise(x)
        return {name: rows.new_zeros([x.shape[0], *self.shape(axes)]) for name, axes in self.state.items()}

    def forward(self, x, at, form=None, cache=None):
        """Hidden states [B t d] to [B t d], in one of the forms (the first unless given), over a cache where there is one."""
        form = form if form in self.forms else self.forms[0]
        state = self.fresh_state(x) if cache is None or cache.state is None else cache.state
        parts = self.project(x, at=at, state=state)
        if cache is not None:
            parts.update(cache.append({name: parts[name] for name in self.cache}))
            cache.state, cache.length = state, cache.length + x.shape[1]
        seen = {**parts, **self.unfold(**parts)} if form in self.unfolded else parts
        o = getattr(self, form)(**seen, at=at, state=state)
        return self.output(o, **parts, at=at, state=state)
