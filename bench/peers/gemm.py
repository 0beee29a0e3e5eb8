"""OpenBLAS through numpy, one request per line.

Requests (JSON, on stdin):
  {"op": "gemm", "m": 512, "n": 512, "k": 512, "seconds": 0.3}   C = A B in float32
  {"op": "gemv", "m": 8192, "k": 2048, "seconds": 0.3}           y = A x in float32
Answers: {"median": s, "best": s, "runs": n}, in seconds per call. The first line written says which library this is.
Threads come from OPENBLAS_NUM_THREADS.
"""

import ctypes
import json
import sys
import time

import numpy as np


def openblas_config():
    """The build string of the OpenBLAS in this process, or 'unknown BLAS'."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "blas" in line}
    for path in sorted(paths):
        try:
            get = ctypes.CDLL(path).openblas_get_config
        except (OSError, AttributeError):
            continue
        get.restype = ctypes.c_char_p
        return get().decode()
    return "unknown BLAS"


def measure(call, seconds):
    """Times `call` for about `seconds`, at least three times after one unmeasured call."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    times.sort()
    return {"median": times[len(times) // 2], "best": times[0], "runs": len(times)}


def matrix(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def answer(request, rng):
    if request["op"] == "gemm":
        m, n, k = request["m"], request["n"], request["k"]
        a, b = matrix(rng, m, k), matrix(rng, k, n)
        c = np.empty((m, n), np.float32)
        return measure(lambda: np.matmul(a, b, out=c), request["seconds"])
    if request["op"] == "gemv":
        a, x = matrix(rng, request["m"], request["k"]), matrix(rng, request["k"])
        y = np.empty(request["m"], np.float32)
        return measure(lambda: np.matmul(a, x, out=y), request["seconds"])
    raise ValueError(f"op: got {request['op']!r}, expected gemm or gemv")


def main():
    rng = np.random.default_rng(1)
    version = f"{openblas_config().strip()}, numpy {np.__version__}"
    print(json.dumps({"engine": "OpenBLAS", "version": version}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), rng)), flush=True)


if __name__ == "__main__":
    main()
