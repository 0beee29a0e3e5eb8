"""The batches of an experiment, in Biform's order: windows of tokens drawn as Biform draws them, or rows as Biform made them."""

import json

import numpy
import torch

from .draw import step_random

# Seeds of training read other steps of one source.
APART = 2**24


class Data:
    """What a run of a seed learns from; a batch is ids and targets [rows length], targets of -1 not counted."""

    def __init__(self, folder, seed, rows, length):
        told = json.loads((folder / "data.json").read_text())
        self.seed, self.rows, self.length, self.drawn = seed, rows, length, told["seed"]
        self.tokens = self.made = None
        kind = numpy.dtype(told["numbers"])
        if told["kind"] == "windows":
            self.tokens = numpy.memmap(folder / "train.bin", dtype=kind, mode="r")
        else:
            self.made = numpy.memmap(folder / f"rows-s{seed}.bin", dtype=kind, mode="r").reshape(-1, 2, rows, length)
        self.held = numpy.memmap(folder / "held.bin", dtype=kind, mode="r").reshape(-1, 2, rows, length)

    def batch(self, step):
        if self.made is not None:
            return pair(self.made[step])
        random = step_random(self.drawn, step + (self.seed - 1) * APART)
        starts = [random.integer(len(self.tokens) - self.length) for _ in range(self.rows)]
        windows = numpy.stack([self.tokens[at : at + self.length + 1] for at in starts]).astype(numpy.int64)
        return torch.from_numpy(windows[:, :-1].copy()), torch.from_numpy(windows[:, 1:].copy())

    def held_out(self):
        return [pair(batch) for batch in self.held]


def pair(batch):
    ids, targets = torch.from_numpy(batch.astype(numpy.int64))
    return ids, targets
