"""The matmul ladder against its public times: `python benchmarks/ladder.py [--all]`.

Measured on trn2 by AWS: the 4096-cube in bf16 from aws-neuron/neuron-agentic-development (neuron-nki-
profile-querying references), 4096 x 8192 x 8192 in fp32 from the NKI documentation's matmul tutorial
profiles. Block sizes of V1 are not public; ours is 2 x 2. No constant of the machine was fitted to these
times. `--all` adds the fp32 problems, a minute each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import ml_dtypes
import numpy as np

from simulator.api import KernelRef, simulate

CUBE = (4096, 4096, 4096)
TUTORIAL = (8192, 4096, 8192)
BF16: tuple[tuple[str, str, float], ...] = (
    ("V0 naive", "tiled", 8602.0),
    ("V1 blocked", "blocked", 2451.0),
    ("V2 row loads", "resident", 1801.0),
)
FP32: tuple[tuple[str, str, float], ...] = (
    ("v2 tiled", "tiled", 39890.0),
    ("v3 hoisted loads", "hoisted", 28200.0),
    ("v5 optimized", "resident", 28300.0),
)


def rungs(everything: bool) -> Iterator[tuple[str, str, tuple[int, int, int], np.dtype, float]]:
    for label, function, measured in BF16:
        yield label, function, CUBE, np.dtype(ml_dtypes.bfloat16), measured
    for label, function, measured in FP32 if everything else ():
        yield label, function, TUTORIAL, np.dtype(np.float32), measured


def main(everything: bool) -> None:
    print("rung               dtype      as written us    list us  measured us  list error")
    for label, function, (depth, rows, columns), dtype, measured in rungs(everything):
        arguments = {"lhs_t": np.zeros((depth, rows), dtype), "rhs": np.zeros((depth, columns), dtype)}
        kernel = KernelRef(function, module="kernels.ladder.matmul")
        found = simulate(kernel, arguments, target="trn2", lnc=1, values=False)
        written, listed = (t.duration_ns / 1e3 for t in (found.as_written, found.list_scheduled))
        error = f"{listed / measured - 1:11.1%}"
        print(
            f"{label:18} {dtype.name:9} {written:14.1f} {listed:10.1f} {measured:12.1f} {error}", flush=True
        )


if __name__ == "__main__":
    main("--all" in sys.argv[1:])
