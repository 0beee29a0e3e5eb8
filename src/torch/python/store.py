"""What a run leaves beside those that Biform does itself: a claim while it is at work, a checkpoint, a record. Files appear whole."""

import json
import os
import platform
import shutil
import socket
import threading
import time
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

BEAT, PATIENCE = 5, 60


def write(path, text):
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    part.write_text(text)
    part.replace(path)


def create(path, text):
    """Puts a file where there is none; of several that try at a time one succeeds."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    part.write_text(text)
    try:
        os.link(part, path)
        return True
    except FileExistsError:
        return False
    finally:
        part.unlink()


def read(path):
    """What a file of JSON says. Raises SystemExit for one that is torn."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise SystemExit(f"{path}: got a damaged file ({error}), expected JSON; remove it and do the run again") from error


class Claim:
    """A run that is this process's to do: numbered files, of which the highest holds, and beats that move while it lives."""

    def __init__(self, folder, key):
        self.folder, self.beats, self.told = folder, 0, {"step": 0, "steps": 0, "loss": None}
        folder.mkdir(parents=True, exist_ok=True)
        last = self.last()
        if last and not self.given_up(last):
            raise SystemExit(f"{key}: got a run that another process is at work on, expected a free one; wait for it, or end it")
        self.number = last + 1
        space = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else None
        said = json.dumps({"host": socket.gethostname(), "space": space, "pid": os.getpid()})
        if not create(folder / f"claim-{self.number}.json", said):
            raise SystemExit(f"{key}: got a run that another process has just taken, expected a free one; nothing is lost")
        self.ended = threading.Event()
        self.beat()
        self.thread = threading.Thread(target=self.keep_beating, daemon=True)
        self.thread.start()

    def last(self):
        numbers = [path.stem.split("-")[1] for path in self.folder.glob("claim-*.json")]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def given_up(self, number):
        def look():
            try:
                return json.loads((self.folder / f"beat-{number}.json").read_text())
            except (OSError, ValueError):
                return {}

        before = look()
        try:
            owner = json.loads((self.folder / f"claim-{number}.json").read_text())
        except (OSError, ValueError):
            owner = {}
        here = owner.get("host") == socket.gethostname() and owner.get("space") and os.path.exists("/proc/self/ns/pid")
        if here and owner["space"] == os.readlink("/proc/self/ns/pid") and not os.path.exists(f"/proc/{owner.get('pid')}"):
            return True
        for _ in range(PATIENCE):
            now = look()
            if now.get("released"):
                return True
            if now.get("beats") != before.get("beats"):
                return False
            time.sleep(1)
        return True

    def lost(self):
        return self.last() > self.number

    def beat(self, released=False):
        self.beats += 1
        write(self.folder / f"beat-{self.number}.json", json.dumps({**self.told, "beats": self.beats, "released": released}))

    def keep_beating(self):
        while not self.ended.wait(BEAT):
            self.beat()

    def release(self):
        self.ended.set()
        self.thread.join()
        self.beat(released=True)


def save(folder, config, settings, weights, moments, progress):
    """A checkpoint as Biform has it, so that either engine goes on where the other stopped. The whole folder appears at once."""
    part, old = folder.with_name(f".{folder.name}.{os.getpid()}.part"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    plain = lambda tensors: {name: x.detach().float().cpu().contiguous().clone() for name, x in tensors.items()}
    save_file(plain(weights), part / "model.safetensors", metadata={"format": "pt"})
    save_file(plain(moments), part / "optimiser.safetensors")
    (part / "config.json").write_text(json.dumps(config, indent=1))
    (part / "training.json").write_text(json.dumps({"settings": settings, "progress": progress}))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def restore(folder, settings):
    """Weights, moments and progress of a checkpoint, or None where there is none. Raises SystemExit for one of other settings."""
    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)
    if not folder.exists():
        return None
    told = read(folder / "training.json")
    for name in sorted(settings.keys() | told["settings"].keys()):
        if told["settings"].get(name) != settings.get(name):
            raise SystemExit(f"{folder}: got a checkpoint with {name} {told['settings'].get(name)}, expected {settings.get(name)}")
    try:
        weights, moments = (load_file(folder / f"{name}.safetensors") for name in ("model", "optimiser"))
    except (OSError, SafetensorError) as error:
        raise SystemExit(f"{folder}: got a damaged checkpoint ({error}), expected whole files; remove it and do the run again") from error
    return weights, moments, told["progress"]


def machine(world, device):
    """Facts of a machine. Times are held beside each other where all but the host's name is equal."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    facts = {"cpu": processor(), "cores": os.cpu_count(), "device": name, "processes": world}
    return facts | {"threads": torch.get_num_threads(), "host": socket.gethostname()}


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def find(folder, key):
    return Path(folder) / key
