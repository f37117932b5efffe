from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from simulator.api import simulate
from simulator.kernel_ref import KernelRef

RUNGS = ("tiled", "hoisted", "blocked", "row_loads")
BLOCKS = {
    "blocked": {"block_rows": 2, "block_columns": 1},
    "row_loads": {"block_rows": 2, "block_columns": 1},
    "resident": {"block_rows": 2, "block_columns": 1, "block_depth": 2},
}


def run(function, depth=512, rows=512, columns=1024, *, values=False, **more):
    generator = np.random.default_rng(0)
    arguments = {
        "lhs_t": generator.standard_normal((depth, rows)).astype(ml_dtypes.bfloat16),
        "rhs": generator.standard_normal((depth, columns)).astype(ml_dtypes.bfloat16),
    }
    kernel = KernelRef(function, module="kernels.ladder.matmul")
    return arguments, simulate(kernel, arguments | more, target="trn2", lnc=1, values=values)


@pytest.mark.parametrize("function", [*RUNGS, "resident"])
def test_every_rung_multiplies(function):
    arguments, found = run(function, values=True, **BLOCKS.get(function, {}))
    left, right = (arguments[name].astype(np.float32) for name in ("lhs_t", "rhs"))
    np.testing.assert_allclose(found.trace.results[0].astype(np.float32), left.T @ right, rtol=0.02, atol=0.3)


def test_every_rung_is_faster_than_the_one_before():
    times = [run(function, 1024, 1024, 2048)[1].list_scheduled.duration_ns for function in RUNGS]
    assert times == sorted(times, reverse=True)
    assert times[0] > 2 * times[-1]


def test_reuse_of_tiles_shows_in_the_bytes_moved():
    def moved(function):
        trace = run(function, **BLOCKS.get(function, {}))[1].trace
        return sum(i.transfer.bytes for i in trace.cores[0] if i.transfer)

    matmuls = 4 * 2 * 4
    assert moved("tiled") == matmuls * (128 * 128 + 128 * 512) * 2 + 512 * 1024 * 2
    assert moved("row_loads") == moved("blocked") < moved("hoisted") < moved("tiled")
