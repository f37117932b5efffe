"""The matmul ladder against its public times: `python benchmarks/ladder.py [--all]`.

The times and where they were printed are in `kernels/ladder/measured.py`. No constant of the machine was
fitted to them. `--all` adds the fp32 problems, a minute each. `collectors fidelity` compares the same rows
with the time a profile has around a kernel, and beside other kernels.
"""

from __future__ import annotations

import sys

import ml_dtypes
import numpy as np

from kernels.ladder.measured import RUNGS
from simulator.api import simulate
from simulator.kernel_ref import KernelRef

DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float32": np.dtype(np.float32)}


def main(everything: bool) -> None:
    print("rung               dtype      as written us    list us  measured us  list error")
    for rung in RUNGS:
        if rung.dtype == "float32" and not everything:
            continue
        dtype = DTYPES[rung.dtype]
        arguments = {
            "lhs_t": np.zeros((rung.depth, rung.rows), dtype),
            "rhs": np.zeros((rung.depth, rung.columns), dtype),
        }
        kernel = KernelRef(rung.function, module="kernels.ladder.matmul")
        found = simulate(kernel, arguments, target="trn2", lnc=1, values=False)
        written, listed = (t.duration_ns / 1e3 for t in (found.as_written, found.list_scheduled))
        error = f"{listed / rung.measured_us - 1:11.1%}"
        figures = f"{written:14.1f} {listed:10.1f} {rung.measured_us:12.1f} {error}"
        print(f"{rung.name:18} {rung.dtype:9} {figures}", flush=True)


if __name__ == "__main__":
    main("--all" in sys.argv[1:])
