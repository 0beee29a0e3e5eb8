"""AdamW, and Muon head by head for matrices, as Biform has them; parameters may be sharded over processes (FSDP)."""

import torch
from torch.distributed.tensor import DTensor, Replicate

# Coefficients of the quintic that drives singular values towards 1 (Jordan et al., Muon, 2024).
A, B, C = 3.4445, -4.775, 2.0315
# Axes along which a parameter is many matrices: heads, groups, output groups, an indexer's heads, experts.
APART = set("hgbjx")


def whole(x):
    """All of a parameter that is sharded."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def like(x, parameter):
    """What every process has whole, sharded as a parameter is."""
    if not isinstance(parameter, DTensor):
        return x
    full = DTensor.from_local(x, parameter.device_mesh, [Replicate()] * parameter.device_mesh.ndim, run_check=False)
    return full.redistribute(placements=parameter.placements)


class Optimiser:
    """parameters by name; about: of each its axes and kind; settings: Biform's."""

    def __init__(self, parameters, about, settings):
        self.parameters, self.about, self.settings = parameters, about, settings
        by_muon = settings["kind"] == "muon"
        self.matrices = [name for name in parameters if by_muon and about[name]["kind"] == "matrix"]
        self.momentum = {name: torch.zeros_like(parameters[name]) for name in self.matrices}
        others = [name for name in parameters if name not in self.momentum]
        # Vectors are not decayed.
        decayed = [name for name in others if about[name]["kind"] in ("matrix", "table")]
        groups = [
            {"params": [parameters[name] for name in decayed], "weight_decay": settings["decay"]},
            {"params": [parameters[name] for name in others if name not in decayed], "weight_decay": 0.0},
        ]
        betas = (settings["beta1"], settings["beta2"])
        self.adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=betas, eps=settings["eps"])
        self.others = others

    @torch.no_grad()
    def step(self, rate):
        """One step at this rate; gives the norm of all gradients, to which those of AdamW's parameters are clipped."""
        squares = [whole(p.grad.double().square().sum()) for p in self.parameters.values() if p.grad is not None]
        norm = torch.stack(squares).sum().sqrt()
        clip = (self.settings["clip"] / norm).clamp(max=1.0)
        for name in self.others:
            parameter = self.parameters[name]
            # What nothing leads to has a gradient of zeros in Biform, and is decayed all the same.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.mul_(clip.to(parameter.grad.dtype))
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        for name in self.matrices:
            self.muon(name, rate)
        return norm

    def muon(self, name, rate):
        parameter, momentum = self.parameters[name], self.momentum[name]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        momentum.mul_(self.settings["momentum"]).add_(gradient)
        ahead = whole(momentum * self.settings["momentum"] + gradient)
        nearest, side = orthogonal(ahead, self.about[name]["axes"])
        parameter.mul_(1 - rate * self.settings["decay"])
        parameter.sub_(like(nearest.to(parameter.dtype), parameter) * (rate * 0.2 * side**0.5))

    def moments(self):
        """All that is kept between steps, by Biform's names: m. and v. before that of the parameter."""
        kept = {f"m.{name}": whole(m) for name, m in self.momentum.items()}
        for name in self.others:
            state = self.adamw.state.get(self.parameters[name], {})
            zeros = torch.zeros_like(self.parameters[name])
            kept[f"m.{name}"] = whole(state.get("exp_avg", zeros))
            kept[f"v.{name}"] = whole(state.get("exp_avg_sq", zeros))
        return kept

    @torch.no_grad()
    def restore(self, kept, steps):
        for name, momentum in self.momentum.items():
            momentum.copy_(like(kept[f"m.{name}"].to(momentum.device), momentum))
        for name in self.others:
            p = self.parameters[name]
            first, second = (like(kept[f"{of}.{name}"].to(p.device, p.dtype), p).clone() for of in "mv")
            self.adamw.state[p] = {"step": torch.tensor(float(steps)), "exp_avg": first, "exp_avg_sq": second}


def orthogonal(x, axes):
    """The nearest semi-orthogonal matrix to each of those that x is, and the longer of their sides."""
    letters = axes.split()
    at = next((i for i, letter in enumerate(letters) if letter in APART), None) if len(letters) > 2 else None
    y = x[None] if at is None else x.movedim(at, 0)
    rows, columns = y.shape[1:]
    y = y if rows <= columns else y.mT
    size = rows * columns
    y = y * (y.square().mean((1, 2), keepdim=True) + 1e-20).rsqrt() * size**-0.5
    for _ in range(5):
        gram = y @ y.mT
        y = A * y + (B * gram + C * gram @ gram) @ y
    y = y if rows <= columns else y.mT
    return (y[0] if at is None else y.movedim(0, at)), max(rows, columns)
