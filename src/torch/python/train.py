"""Trains runs of an experiment as Biform does: torchrun --nproc-per-node 2 FOLDER/train.py KEY --out study.runs"""

import argparse
import importlib
import json
import math
import signal
import sys
import time
from pathlib import Path

if not __package__:
    # Run as a script: the folder that this file lies in is the package.
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent))
    __package__ = here.name
    importlib.import_module(__package__)

import torch

from . import store
from .course import FOLDER, Course, Crew


def options(words=None):
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help="runs, by their keys; all that are not done unless given")
    parser.add_argument("--out", help="where runs leave what they found (default: where the experiment has it)")
    parser.add_argument("--fsdp", action="store_true", help="shard parameters over processes (FSDP2) instead of copying them (DDP)")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, weights and sums in float32")
    parser.add_argument("--checkpointing", action="store_true", help="blocks are run again on the way back instead of kept")
    parser.add_argument("--no-flex", action="store_true", help="masks for scaled_dot_product_attention where FlexAttention would run")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak", type=float, help="the device's FLOP/s, for the share that is reached (MFU)")
    parser.add_argument("--stop-after", type=int, metavar="STEPS", help="save and stop after so many steps of this call")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each run")
    return parser.parse_args(words)


def finite(x):
    return x if math.isfinite(x) else None


def train(run, rate, out, crew, given):
    """Trains a run, from its checkpoint on where there is one, and leaves its record. Gives what to say of it."""
    key, folder = run["key"], store.find(out, run["key"])
    if crew.agree((folder / "record.json").exists()):
        return {"key": key, "outcome": "was done"}
    refused, claim = None, None
    if crew.rank == 0:
        try:
            claim = store.Claim(folder, key)
        except SystemExit as error:
            refused = str(error)
    if refused := crew.agree(refused):
        raise SystemExit(refused)
    stop = Stop()
    try:
        course = Course(run, rate, crew, given)
        course.go_on(folder / "checkpoint")
        return follow(course, folder, claim, stop)
    finally:
        stop.forget()
        if claim:
            claim.release()


class Stop:
    """Whether this process was told to end."""

    def __init__(self):
        self.asked = False
        self.before = {}
        try:
            for name in (signal.SIGTERM, signal.SIGINT):
                self.before[name] = signal.signal(name, self.hear)
        except ValueError:
            # Not the main thread (Ray): whoever runs it ends it.
            pass

    def hear(self, *_):
        self.asked = True

    def forget(self):
        for name, handler in self.before.items():
            signal.signal(name, handler)


def follow(course, folder, claim, stop):
    settings, progress, crew, given, run = course.settings, course.progress, course.crew, course.given, course.run
    steps, began, times, last = settings["steps"], course.progress["step"], [], time.monotonic()
    every = max(1, math.ceil(steps / 10))
    tokens = settings["batch"] * settings["length"]
    diverged = False
    while progress["step"] < steps and not diverged:
        start = time.monotonic()
        loss = course.step()
        times.append(time.monotonic() - start)
        progress["seconds"] += times[-1]
        progress["step"] += 1
        at = progress["step"]
        progress["training"]["steps"].append(at)
        progress["training"]["losses"].append(finite(loss))
        diverged = not math.isfinite(loss)
        if at % settings["evaluateEvery"] == 0 or at == steps:
            progress["heldOut"]["steps"].append(at)
            progress["heldOut"]["losses"].append(finite(course.held_out()))
        ends, lost = crew.agree((stop.asked or at - began == given.stop_after, claim is not None and claim.lost()))
        if lost:
            # Its checkpoint is no longer ours to write.
            raise SystemExit(f"{run['key']}: got taken over by another process while this one slept, expected to own it; that one goes on")
        if at % every == 0 or at == steps or ends:
            course.keep(folder / "checkpoint")
        if claim:
            claim.told = {"step": at, "steps": steps, "loss": finite(loss)}
            if time.monotonic() - last > 2:
                last = time.monotonic()
                left = (steps - at) * sorted(times)[len(times) // 2]
                crew.tell(f"{run['key']}: step {at} of {steps}, loss {loss:.4f}, {left:.0f} s to go")
        if ends and at < steps:
            return {"key": run["key"], "outcome": "interrupted", "step": at}
    middle = sorted(times)[len(times) // 2] if times else progress["seconds"] / max(1, progress["step"])
    speed = tokens / middle
    flops = speed * run["flopsPerToken"]
    told = {"key": run["key"], "outcome": "done", "loss": progress["heldOut"]["losses"][-1] if not diverged else None}
    told |= {"tokensPerSecond": speed, "flopsPerSecond": flops}
    if given.peak:
        told["mfu"] = flops / (given.peak * crew.size)
    if crew.rank == 0:
        leave_record(course, folder, told, speed)
    return told


def leave_record(course, folder, told, speed):
    experiment = json.loads((FOLDER / "runs.json").read_text())
    settings, progress, crew, given = course.settings, course.progress, course.crew, course.given
    how = ["fsdp" if given.fsdp else "ddp"] if crew.size > 1 else []
    how += [name for name in ("compile", "bf16", "checkpointing", "no_flex") if getattr(given, name)]
    facts = store.machine(crew.size, crew.device) | {"how": " ".join(how).replace("_", "-") or "plain"}
    record = {
        "experiment": experiment["id"],
        "key": course.run["key"],
        "engine": "torch",
        "versions": {**experiment["versions"], "torch": torch.__version__},
        "machine": facts,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "record": {
            "seed": settings["seed"],
            "rate": settings["rate"],
            "loss": told["loss"],
            "training": thin(progress["training"], 200),
            "heldOut": progress["heldOut"],
            "tokensPerSecond": speed,
            **({"mfu": told["mfu"]} if "mfu" in told else {}),
            "sample": None,
            "speeds": None,
        },
    }
    store.create(folder / "record.json", json.dumps(record) + "\n")


def thin(curve, most):
    """At most so many points, each the mean of its neighbourhood, as Biform keeps curves."""
    every = math.ceil(len(curve["steps"]) / most)
    if every <= 1:
        return curve
    result = {"steps": [], "losses": []}
    for i in range(0, len(curve["steps"]), every):
        part = curve["losses"][i : i + every]
        result["steps"].append(curve["steps"][min(i + every, len(curve["steps"])) - 1])
        result["losses"].append(None if None in part else sum(part) / len(part))
    return result


def rate_of(run, runs, out):
    """The rate of a run; where it is the best of several, that of the variant's first seed that ended lowest."""
    if run["settings"]["rate"] is not None:
        return run["settings"]["rate"]
    tried = []
    for other in runs:
        if other["variant"] == run["variant"] and other["settings"]["rate"] is not None:
            found = store.find(out, other["key"]) / "record.json"
            if not found.exists():
                raise SystemExit(f"{run['key']}: got no result of {other['key']}, expected all rates tried; do that run first")
            record = store.read(found)["record"]
            tried.append((math.inf if record["loss"] is None else record["loss"], record["rate"]))
    return min(tried, key=lambda pair: pair[0])[1]


def train_all(given, crew):
    experiment = json.loads((FOLDER / "runs.json").read_text())
    out = given.out or experiment["out"]
    runs = {run["key"]: run for run in experiment["runs"]}
    for key in given.keys:
        if key not in runs:
            raise SystemExit(f"train.py: got run {key}, expected one such as {', '.join(list(runs)[:3])}")
    told = []
    for key in given.keys or runs:
        result = train(runs[key], rate_of(runs[key], experiment["runs"], out), out, crew, given)
        told.append(result)
        crew.tell(" ".join(f"{name} {value}" for name, value in result.items()))
        if given.json and crew.rank == 0:
            print(json.dumps(result), flush=True)
        if result["outcome"] == "interrupted":
            break
    return told


def main():
    given = options()
    crew = Crew(given.device)
    try:
        told = train_all(given, crew)
    finally:
        crew.end()
    if any(result["outcome"] == "interrupted" for result in told):
        sys.exit(130)


if __name__ == "__main__":
    main()
