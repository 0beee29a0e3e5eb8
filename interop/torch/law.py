"""Runs packages that Biform wrote beside what its float64 says of them: a line of JSON for each case, with the largest differences."""

import importlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

torch.set_num_threads(1)


class Counted:
    """FlexAttention of a package as it would run on a GPU, with what it was called for."""

    def __init__(self, package):
        attend, flex = (importlib.import_module(f"{package}.{name}") for name in ("attend", "flex"))
        self.calls, self.run = {"window": 0, "decay": 0, "sinks": 0}, attend.attend_by_place
        flex.CHOICE, attend.attend_by_place = True, self
        # PyTorch refuses it on a CPU where there is a way back; its plain form is the same function there, and has one.
        importlib.import_module("torch.nn.attention.flex_attention")._validate_device = lambda *_: None

    def __call__(self, q, k, v, scale, *by_place):
        for name, given in zip(self.calls, by_place, strict=True):
            self.calls[name] += given is not None
        return self.run(q, k, v, scale, *by_place)


def beside(expected, got):
    """The largest difference, and the largest magnitude expected; NaN counts as infinite."""
    error = (expected - got.double()).abs().max().item() if expected.numel() else 0.0
    size = expected.abs().max().item() if expected.numel() else 0.0
    return [error if error == error else float("inf"), size]


def run(folder, dtype):
    case = json.loads((folder / "case.json").read_text())
    answers = load_file(folder / "answers.safetensors")
    model = importlib.import_module(f"{folder.name}.model").load(folder, dtype)
    shape = (case["batch"], case["tokens"])
    ids, targets = (torch.tensor(case[name]).view(shape) for name in ("ids", "targets"))
    found = {}
    for form in case["forms"]:
        with torch.no_grad():
            found[f"logits {form}"] = beside(answers["logits"], model(ids, form=form))
    with torch.no_grad():
        caches, parts, start = model.caches(), [], 0
        for tokens, form in case["chunks"]:
            parts.append(model(ids[:, start : start + tokens], form=form, caches=caches))
            start += tokens
        found["logits in chunks"] = beside(answers["logits"], torch.cat(parts, 1))
        caches = model.caches()
        parts = [model(ids[:, i : i + 1], form=case["form"], caches=caches) for i in range(case["tokens"])]
        found["logits by steps"] = beside(answers["logits"], torch.cat(parts, 1))
    for form in case["forms"]:
        model.zero_grad()
        loss = model(ids, targets, form=form)
        loss.backward()
        found[f"loss {form}"] = beside(answers["loss"], loss.detach()[None])
        for name, parameter in model.named_parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found[f"gradient {name} {form}"] = beside(answers[f"gradient.{name}"], gradient)
    return found


for line in sys.stdin:
    folder = Path(line.strip())
    sys.path.insert(0, str(folder.parent))
    flexed = Counted(folder.name) if json.loads((folder / "case.json").read_text())["flex"] else None
    told = {"case": folder.name, "float64": run(folder, torch.float64), "float32": run(folder, torch.float32)}
    print(json.dumps(told | {"flexed": flexed.calls if flexed else {}}), flush=True)
    sys.path.pop(0)
