"""Ranks meet at collectives: results of every one of them, their time, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kernels import estimates
from simulator.api import simulate_ranks
from simulator.errors import KernelRefused
from simulator.kernel_ref import KernelRef
from simulator.machine.facts import machine, targets
from simulator.nki.execute import execute, execute_ranks

KERNELS = str(Path(__file__).with_name("collective_kernels.py"))
Array = np.ndarray[Any, Any]


def drawn(ranks: int, shape: tuple[int, ...] = (4, 8)) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(ranks)]


def each(function: str, arguments: list[dict[str, Any]], lnc: int = 1) -> list[Array]:
    traces = execute_ranks(KernelRef(function, file=KERNELS), arguments, target="trn3", lnc=lnc)
    return [trace.results[0] for trace in traces]


def over(function: str, x: list[Array], lnc: int = 1, **more: Any) -> list[Array]:
    return each(function, [{"x": own, **more} for own in x], lnc)


@pytest.mark.parametrize("lnc", [1, 2])
def test_an_all_reduce_sums_within_each_list_of_ranks(lnc: int) -> None:
    x = drawn(4)
    found = over("reduced", x, lnc, groups=[[0, 2], [1, 3]])
    np.testing.assert_allclose(found, [x[0] + x[2], x[1] + x[3]] * 2, rtol=1e-6)


def test_an_all_reduce_of_bf16_adds_in_fp32_and_rounds_once() -> None:
    x = [one.astype(ml_dtypes.bfloat16) for one in drawn(4)]
    expected = np.sum([one.astype(np.float32) for one in x], axis=0).astype(ml_dtypes.bfloat16)
    found = over("reduced", x, groups=[[0, 1, 2, 3]])
    assert all(np.array_equal(one, expected) for one in found)


def test_an_all_reduce_can_take_the_largest() -> None:
    x = drawn(2)
    assert np.array_equal(over("reduced", x, groups=[[0, 1]], op="maximum")[1], np.maximum(*x))


@pytest.mark.parametrize("lnc", [1, 2])
def test_an_all_gather_puts_ranks_one_after_the_other_in_the_lists_order(lnc: int) -> None:
    x = drawn(3)
    found = over("gathered", x, lnc, groups=[[2, 0, 1]])
    assert all(np.array_equal(one, np.concatenate([x[2], x[0], x[1]])) for one in found)


def test_an_all_gather_in_sbuf_can_widen_rows() -> None:
    x = drawn(2)
    assert np.array_equal(over("gathered_on_chip", x, groups=[[0, 1]])[1], np.concatenate(x, axis=1))


def test_a_reduce_scatter_leaves_each_rank_its_part_of_the_sum() -> None:
    x = drawn(2)
    found = over("scattered", x, groups=[[0, 1]])
    np.testing.assert_allclose(np.concatenate(found), x[0] + x[1], rtol=1e-6)


def test_an_all_to_all_transposes_ranks_and_parts() -> None:
    x = drawn(2)
    found = over("exchanged", x, groups=[[0, 1]])
    assert np.array_equal(found[1], np.concatenate([x[0][2:], x[1][2:]]))


def test_a_permute_moves_what_its_pairs_say_and_leaves_other_targets_alone() -> None:
    x = drawn(3)
    found = over("permuted", x, pairs=[(0, 2), (2, 1)])
    assert all(np.array_equal(a, b) for a, b in zip(found, [x[0], x[2], x[0]], strict=True))


def test_a_ring_brings_every_ranks_data_under_its_own_number() -> None:
    x = drawn(4)
    found = over("ring_gathered", x, groups=[[0, 1, 2, 3]])
    assert all(np.array_equal(one, np.stack(x)) for one in found)


def test_a_reducing_step_of_a_ring_brings_what_the_rank_before_reduced() -> None:
    x, y = drawn(4)[:2], drawn(4)[2:]
    pairs = [{"x": a, "y": b, "groups": [[0, 1]]} for a, b in zip(x, y, strict=True)]
    assert np.array_equal(each("reduced_from_before", pairs)[0], np.maximum(x[1], y[1]))


def test_a_rank_knows_its_number() -> None:
    assert [int(one[0, 0]) for one in over("numbered", drawn(3))] == [0, 1, 2]


def metadata(*rows: list[int]) -> Array:
    return np.array(rows, np.uint32)


def test_a_ragged_gather_takes_one_piece_of_each_rank_and_writes_the_counts() -> None:
    x = [np.arange(4, dtype=np.float32) + 10 * rank for rank in range(2)]
    tables = [metadata([2, 0], [1, 0], [9, 9]), metadata([3, 0], [0, 0], [9, 9])]
    given = [
        {"x": one, "metadata": table, "groups": [[0, 1]], "everyone_alike": True}
        for one, table in zip(x, tables, strict=True)
    ]
    traces = execute_ranks(KernelRef("ragged", file=KERNELS), given, target="trn3", lnc=1)
    for trace in traces:
        assert trace.results[0].tolist() == [1, 2, 0, 0, 10, 11, 12, 0]
        assert trace.results[1][2].tolist() == [2, 3]


def test_a_ragged_exchange_puts_pieces_where_the_receiver_says() -> None:
    x = [np.arange(4, dtype=np.float32) + 10 * rank for rank in range(2)]
    tables = [
        metadata([1, 3], [0, 1], [0, 0], [5, 0]),
        metadata([2, 2], [2, 0], [0, 0], [1, 4]),
    ]
    given = [
        {"x": one, "metadata": t, "groups": [[0, 1]], "everyone_alike": False, "displaced": True}
        for one, t in zip(x, tables, strict=True)
    ]
    assert [one.tolist() for one in each("ragged", given)] == [
        [12, 13, 0, 0, 0, 0, 0, 0],
        [0, 1, 2, 3, 10, 11, 0, 0],
    ]


def test_a_rank_that_leaves_the_others_waiting_is_refused_with_its_line() -> None:
    with pytest.raises(KernelRefused, match="never makes that call") as caught:
        over("out_of_step", drawn(2), groups=[[0, 1]])
    assert caught.value.rule == "collective-order"
    assert Path(caught.value.file).name == "collective_kernels.py"


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("psum", "operand-memory"),
        ("mixed", "operand-memory"),
        ("op", "reduce-op"),
        ("dim", "collective-dim"),
        ("shape", "shape"),
        ("twice", "source-target-pairs"),
        ("group", "replica-group"),
        ("outsider", "replica-group"),
    ],
)
def test_a_collective_that_makes_no_sense_is_refused(how: str, rule: str) -> None:
    with pytest.raises(KernelRefused) as caught:
        over("bad", drawn(2), how=how)
    assert (caught.value.rule, caught.value.line > 0) == (rule, True)


def test_one_rank_alone_is_told_how_many_its_collective_needs() -> None:
    with pytest.raises(KernelRefused) as caught:
        execute(
            KernelRef("gathered", file=KERNELS),
            {"x": drawn(1)[0], "groups": [[0, 1, 2, 3]]},
            target="trn3",
            lnc=1,
        )
    assert "--ranks 4" in caught.value.hint


def test_a_collective_takes_its_latency_and_its_bytes_over_the_links() -> None:
    def took(rows: int) -> float:
        kernel = KernelRef("reduced", file=KERNELS)
        given = [{"x": one, "groups": [[0, 1]]} for one in drawn(2, (rows, 1024))]
        (rank, _) = simulate_ranks(kernel, given, target="trn3", lnc=1)
        (at,) = [i.index for i in rank.trace.cores[0] if i.call == "all_reduce"]
        return float(rank.as_written.end_ns[0][at] - rank.as_written.start_ns[0][at])

    pair = machine("trn3").pair
    more = 2 * (2 - 1) / 2 * (128 - 1) * 1024 * 4 / pair.collective_bytes_per_ns
    assert took(1) >= pair.collective_ns
    assert took(128) - took(1) == pytest.approx(more)


def test_estimates_and_machine_tables_hold_one_collective() -> None:
    for target in targets():
        pair = machine(target).pair
        assert pair.collective_ns == estimates.COLLECTIVE_US * 1000
        assert pair.collective_bytes_per_ns == estimates.LINK_GB_S
