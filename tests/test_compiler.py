"""What the first dialect's compiler is taken to change, seen on kernels of that dialect."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from simulator.api import Simulation, simulate
from simulator.compiler.first_dialect import compiled
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute

KERNELS = """
from neuronxcc import nki
import neuronxcc.nki.isa as nisa
import neuronxcc.nki.language as nl

@nki.jit
def product(left, right):
    depth, rows = left.shape
    out = nl.ndarray((rows, right.shape[1]), dtype=left.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // 128):
        for n in nl.affine_range(right.shape[1] // 512):
            acc = nl.zeros((128, 512), nl.float32, buffer=nl.psum)
            for k in nl.affine_range(depth // 128):
                a = nl.load(left[k * 128:(k + 1) * 128, m * 128:(m + 1) * 128])
                b = nl.load(right[k * 128:(k + 1) * 128, n * 512:(n + 1) * 512])
                acc += nl.matmul(a, b, transpose_x=True)
            nl.store(out[m * 128:(m + 1) * 128, n * 512:(n + 1) * 512], nl.copy(acc, dtype=out.dtype))
    return out

@nki.jit
def changed(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    between = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.hbm)
    for _ in range(2):
        nl.store(between, nl.add(nl.load(x), 1.0))
        nl.store(out, nl.load(between))
    return out

@nki.jit
def maxima(x):
    out = nl.ndarray((x.shape[0], 4), dtype=x.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(x.shape[0] // 128):
        tile = nl.load(x[i * 128:(i + 1) * 128, :])
        halves = nl.ndarray((nl.par_dim(128), 2), dtype=x.dtype, buffer=nl.sbuf)
        for j in nl.affine_range(2):
            halves[:, j] = nisa.tensor_reduce(op=nl.max, data=tile[:, j * 512:(j + 1) * 512], axis=1)
        most = nisa.tensor_reduce(op=nl.max, data=halves, axis=1)
        nl.store(out[i * 128:(i + 1) * 128, 0:1], nisa.reciprocal(data=most))
    return out

@nki.jit
def sums_of_scores(q, k):
    out = nl.ndarray((q.shape[1], 1), dtype=nl.float32, buffer=nl.shared_hbm)
    left, right = nl.load(q), nl.load(k)
    for i in nl.affine_range(q.shape[1] // 128):
        halves = nl.ndarray((nl.par_dim(128), 2), dtype=nl.float32, buffer=nl.sbuf)
        for j in nl.affine_range(2):
            scores = nl.ndarray((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.psum)
            scores[...] = nisa.nc_matmul(left[:, i * 128:(i + 1) * 128], right[:, j * 512:(j + 1) * 512])
            halves[:, j] = nisa.tensor_reduce(op=nl.add, data=nisa.tensor_copy(scores), axis=1)
        nl.store(out[i * 128:(i + 1) * 128, :], nisa.tensor_reduce(op=nl.add, data=halves, axis=1))
    return out

@nki.jit
def copies(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.load(x)
    for _ in range(8):
        tile = nisa.tensor_copy(tile)
    nl.store(out, tile)
    return out
"""


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    path = tmp_path / "first.py"
    path.write_text(KERNELS)
    return path


def multiplied(kernels: Path, depth: int, rows: int, columns: int) -> Simulation:
    shapes = {"left": (depth, rows), "right": (depth, columns)}
    arguments = {name: np.zeros(shape, ml_dtypes.bfloat16) for name, shape in shapes.items()}
    return simulate(KernelRef("product", file=str(kernels)), arguments, target="trn2", lnc=1, values=False)


def loaded(simulation: Simulation) -> int:
    moves = [i.transfer for i in simulation.trace.cores[0] if i.transfer is not None]
    return sum(t.bytes for t in moves if t.source_memory == "hbm")


def test_matrices_that_fit_into_sbuf_are_loaded_once(kernels: Path) -> None:
    assert loaded(multiplied(kernels, 256, 512, 2048)) == (256 * 512 + 256 * 2048) * 2


def test_a_matrix_larger_than_sbuf_is_loaded_again_in_every_pass(kernels: Path) -> None:
    # 32 MiB of right tiles pass through 24 MiB of SBUF between two uses of the same one.
    found = loaded(multiplied(kernels, 2048, 256, 8192))
    assert found == (2048 * 256 + 2 * 2048 * 8192) * 2


def test_matmuls_read_the_tile_that_stayed(kernels: Path) -> None:
    trace = multiplied(kernels, 256, 512, 2048).trace
    tiles = {w.tensor for i in trace.cores[0] if i.transfer for w in i.writes}
    matmuls = [i for i in trace.cores[0] if i.call == "nc_matmul"]
    assert len(matmuls) == 2 * 4 * 4
    assert {r.tensor for i in matmuls for r in i.reads} <= tiles
    assert [i.index for i in trace.cores[0]] == list(range(len(trace.cores[0])))


def test_equal_tiles_of_one_argument_share_transfers_of_up_to_512_kib(kernels: Path) -> None:
    trace = multiplied(kernels, 1024, 128, 512).trace
    sizes = Counter(i.transfer.bytes for i in trace.cores[0] if i.transfer and i.engine == "gpsimd")
    assert sizes == {8 * 128 * 128 * 2: 1, 4 * 128 * 512 * 2: 2, 128 * 512 * 2: 1}


def test_what_was_stored_in_between_is_loaded_again_and_by_hardware_descriptors(kernels: Path) -> None:
    argument = {"x": np.zeros((128, 512), np.float32)}
    found = simulate(KernelRef("changed", file=str(kernels)), argument, target="trn2", lnc=1, values=False)
    queues = Counter(i.transfer.queue for i in found.trace.cores[0] if i.transfer)
    assert queues == {
        "qGpsimdDynamic": 3,  # the argument once, the result twice
        "qScalarDynamicHW": 2,
        "qSyncDynamicHW": 2,
    }


def test_open_copies_go_to_both_engines(kernels: Path) -> None:
    argument = {"x": np.zeros((128, 512), np.float32)}
    found = simulate(KernelRef("copies", file=str(kernels)), argument, target="trn2", lnc=1, values=False)
    engines = Counter(i.engine for i in found.trace.cores[0] if i.call == "tensor_copy")
    assert set(engines) == {"vector", "scalar"}
    assert sum(engines.values()) == 8


def reductions(kernels: Path, function: str, **shapes: tuple[int, int]) -> list[tuple[str, int]]:
    arguments = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    kernel = KernelRef(function, file=str(kernels))
    trace = simulate(kernel, arguments, target="trn2", lnc=1, values=False).trace
    assert [i.index for i in trace.cores[0]] == list(range(len(trace.cores[0])))
    return [(i.call, i.elements) for i in trace.cores[0] if i.call in {"tensor_reduce", "reciprocal"}]


def test_small_reductions_of_a_loop_s_iterations_are_one_behind_all_they_need(kernels: Path) -> None:
    found = reductions(kernels, "maxima", x=(512, 1024))
    assert found == [("tensor_reduce", 512)] * 8 + [("tensor_reduce", 4 * 2), ("reciprocal", 4)]


def test_as_many_iterations_join_as_have_their_psum_tiles_at_once(kernels: Path) -> None:
    # Two banks an iteration and eight in PSUM, as in the fused attention of 1024 tokens.
    found = reductions(kernels, "sums_of_scores", q=(128, 1024), k=(128, 1024))
    assert [n for _, n in found if n < 512] == [4 * 2, 4 * 2]


def test_reductions_whose_tiles_do_not_fit_sbuf_together_join_in_smaller_groups(kernels: Path) -> None:
    found = reductions(kernels, "maxima", x=(16384, 1024))
    joined = [n // 2 for call, n in found if call == "tensor_reduce" and n < 512]
    assert sum(joined) == 128
    assert 1 < max(joined) <= 212984 // 4096


def test_a_kernel_of_the_current_dialect_is_run_as_it_is() -> None:
    arguments = {name: np.zeros((256, 1024), ml_dtypes.bfloat16) for name in ("lhs_t", "rhs")}
    kernel = KernelRef("tiled", module="kernels.ladder.matmul")
    trace = execute(kernel, arguments, target="trn2", lnc=1, values=False)
    assert compiled(trace) is trace
