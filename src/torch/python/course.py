"""One run of training: the processes that do it together, the model, its optimiser and its data, step by step."""

import json
import math
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from . import flex, store
from .data import Data
from .model import Model
from .ops import precise
from .optimiser import Optimiser, like, whole

FOLDER = Path(__file__).resolve().parent


def rate_at(settings, step):
    """Linear warm-up, then half a cosine down to floor * rate at the last step."""
    rate, warmup, steps, floor = (settings[name] for name in ("rate", "warmup", "steps", "floor"))
    if step < warmup:
        return rate * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    return rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


class Crew:
    """The processes that train one model together, or the only one."""

    def __init__(self, device):
        self.started = "RANK" in os.environ and not dist.is_initialized()
        if self.started:
            dist.init_process_group("nccl" if device == "cuda" else "gloo")
        self.size = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = torch.device("cuda", local) if device == "cuda" else torch.device("cpu")
        if device == "cuda":
            torch.cuda.set_device(self.device)

    def share(self, x):
        """This process's rows of a batch."""
        return x.tensor_split(self.size)[self.rank].to(self.device)

    def sum(self, x):
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def agree(self, word):
        """What the first process says."""
        words = [word]
        if self.size > 1:
            dist.broadcast_object_list(words, 0)
        return words[0]

    def tell(self, text):
        if self.rank == 0:
            print(text, file=sys.stderr, flush=True)

    def end(self):
        if self.started:
            dist.destroy_process_group()


def shared(model, crew, given):
    """The model as all processes run it together."""
    if crew.size == 1:
        return torch.compile(model) if given.compile else model
    if not given.fsdp:
        run = torch.compile(model) if given.compile else model
        places = [crew.device.index] if crew.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(run, device_ids=places)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(crew.device.type, (crew.size,))
    for block in model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if given.compile:
        model.compile()
    return model


class Course:
    """One run: the model, its optimiser and its data, step by step."""

    def __init__(self, run, rate, crew, given):
        self.settings = {**run["settings"], "rate": rate}
        self.run, self.crew, self.given = run, crew, given
        self.config = json.loads((FOLDER / run["config"]).read_text())
        rows = self.settings["batch"]
        if rows < crew.size:
            raise SystemExit(f"{run['key']}: got {crew.size} processes for {rows} rows a step, expected a row for each at least")
        self.data = Data(FOLDER, self.settings["seed"], rows, self.settings["length"])
        self.model = Model(self.config)
        self.model.load_state_dict(load_file(FOLDER / run["initial"]))
        self.model.to(crew.device)
        self.model.checkpointing = given.checkpointing
        if given.no_flex:
            flex.CHOICE = False
        self.together = shared(self.model, crew, given)
        self.parameters = dict(self.model.named_parameters())
        self.optimiser = Optimiser(self.parameters, run["parameters"], self.settings["optimiser"])
        self.progress = {"step": 0, "training": {"steps": [], "losses": []}, "heldOut": {"steps": [], "losses": []}, "seconds": 0}

    def cast(self):
        return torch.autocast(self.crew.device.type, torch.bfloat16) if self.given.bf16 else nullcontext()

    def summed(self, ids, targets):
        """The summed loss of this process's rows."""
        ids, targets = self.crew.share(ids), self.crew.share(targets)
        with self.cast():
            logits = self.together(ids)
        return cross_entropy(precise(logits).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")

    def step(self):
        """One step in place: the mean loss before it."""
        ids, targets = self.data.batch(self.progress["step"])
        counted = (targets >= 0).sum().item()
        loss = self.summed(ids, targets) / counted
        # Gradients of processes are averaged, and their losses are parts of a sum.
        (loss * self.crew.size).backward()
        self.optimiser.step(rate_at(self.settings, self.progress["step"]))
        for parameter in self.parameters.values():
            parameter.grad = None
        return self.crew.sum(loss.detach()).item()

    @torch.no_grad()
    def held_out(self):
        total = counted = 0
        for ids, targets in self.data.held_out():
            total += self.crew.sum(self.summed(ids, targets)).item()
            counted += (targets >= 0).sum().item()
        return total / counted

    def keep(self, folder):
        """Saves all of it; every process has to call this, and the first one writes."""
        weights = {name: whole(p) for name, p in self.parameters.items()}
        moments = self.optimiser.moments()
        if self.crew.rank == 0:
            store.save(folder, {**self.config, "dtype": "float32"}, self.settings, weights, moments, self.progress)

    def go_on(self, folder):
        """Takes up a checkpoint where there is one."""
        found = store.restore(folder, self.settings)
        if found is None:
            return
        weights, moments, self.progress = found
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(like(weights[name].to(p.device, p.dtype), p))
        self.optimiser.restore(moments, self.progress["step"])
