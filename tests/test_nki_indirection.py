"""Columns of a tile at offsets that data gives, and views that may not be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.errors import KernelRefused
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute
from simulator.trace import Trace

KERNELS = str(Path(__file__).with_name("nki_kernels.py"))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 64)).astype(np.float32)


def run(function: str, target: str = "trn3", **arguments: Any) -> Trace:
    return execute(KernelRef(function, file=KERNELS), arguments, target=target, lnc=1)


def offsets(rows: int, columns: int, below: int = 64) -> Any:
    return RNG.integers(0, below, (rows, columns)).astype(np.int32)


def snake(index: Any, row: int, group: int) -> list[int]:
    """The offsets of a row: those of its group, down one column of the group after the other."""
    first = row - row % group
    return [int(o) for o in index[first : first + group].T.reshape(-1)]


def test_each_group_of_sixteen_partitions_gathers_at_its_own_offsets() -> None:
    index = offsets(32, 2)
    found = run("gathered_columns", x=X, index=index).results[0]
    assert found.shape == (32, 32)
    for row in range(32):
        assert np.array_equal(found[row], X[row, snake(index, row, 16)])


def test_fewer_offsets_than_a_group_holds_are_its_first() -> None:
    index = offsets(32, 2)
    found = run("gathered_columns", x=X, index=index, count=5).results[0]
    assert np.array_equal(found[20], X[20, snake(index, 20, 16)[:5]])


def test_columns_are_scattered_and_the_others_stay() -> None:
    order = np.stack([RNG.permutation(64)[:16] for _ in range(2)]).reshape(32, 1).astype(np.int32)
    found = run("scattered_columns", x=X[:, :16], index=order, width=64).results[0]
    for row in range(32):
        expected = np.zeros(64, np.float32)
        expected[snake(order, row, 16)] = 2 * X[row, :16]
        assert np.array_equal(found[row], expected)


def test_the_tensor_engine_reads_offsets_in_groups_of_thirty_two() -> None:
    index = offsets(32, 1)
    found = run("columns_transposed", x=X, index=index).results[0]
    assert np.array_equal(found.T, X[:, snake(index, 0, 32)])


@pytest.mark.parametrize(
    ("function", "given", "target", "rule"),
    [
        ("gathered_columns", {"index": offsets(32, 1)}, "trn2", "tensor-indirection"),
        ("gathered_columns", {"index": offsets(32, 1) + 64}, "trn3", "bounds"),
        ("gathered_columns", {"index": offsets(16, 1)}, "trn3", "tensor-indirection"),
        ("gathered_columns", {"index": offsets(32, 1), "count": 17}, "trn3", "tensor-indirection"),
        ("gathered_columns", {"index": offsets(32, 1).astype(np.float32)}, "trn3", "tensor-indirection"),
        ("columns_by_dma", {"index": offsets(32, 1)}, "trn3", "tensor-indirection"),
    ],
)
def test_what_indirection_cannot_do_is_refused(
    function: str, given: dict[str, Any], target: str, rule: str
) -> None:
    with pytest.raises(KernelRefused) as caught:
        run(function, target, x=X, **given)
    assert (caught.value.rule, caught.value.line > 0) == (rule, True)


def test_an_access_pattern_may_repeat_what_it_writes_to_throw_it_away() -> None:
    found = run("written_through_a_broadcast", x=np.ones((128, 8), np.float32), way="pattern").results[0]
    assert not found.any()


@pytest.mark.parametrize("way", ["view", "part", "transfer"])
def test_a_view_that_repeats_elements_may_be_read_but_not_written(way: str) -> None:
    with pytest.raises(KernelRefused, match="repeats elements") as caught:
        run("written_through_a_broadcast", x=np.zeros((128, 8), np.float32), way=way)
    assert (caught.value.rule, caught.value.line > 0) == ("broadcast-write", True)
