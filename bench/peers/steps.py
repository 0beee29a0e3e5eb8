"""What peers in Python that train do alike: they greet, then answer requests for steps."""

import json
import sys
import time

import torch


def serve(step):
    """Answers on stdout what stdin asks for: `step` does one and returns its loss, a tensor.

    Request: {"op": "train", "steps": 3}; training goes on where the last request stopped.
    Answer: {"seconds": [s per step], "losses": [loss before each update]}.
    """
    print(json.dumps({"engine": "PyTorch", "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(json.loads(line)["steps"]):
            start = time.perf_counter()
            losses.append(step().item())
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)
