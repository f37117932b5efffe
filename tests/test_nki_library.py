"""The parts of the surface that public kernel libraries use: results against NumPy, refusals by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from simulator.errors import KernelRefused
from simulator.kernel_ref import KernelRef
from simulator.nki.dtypes import DTYPES
from simulator.nki.execute import execute
from simulator.nki.mx import packed, scale_rows, unpacked
from simulator.trace import Trace

KERNELS = str(Path(__file__).with_name("nki_library_kernels.py"))
RNG = np.random.default_rng(0)


def run(function: str, *, lnc: int = 1, target: str = "trn3", **arguments: Any) -> Trace:
    return execute(KernelRef(function, file=KERNELS), arguments, target=target, lnc=lnc)


def bf16(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("name", ["float8_e4m3fn_x4", "float8_e5m2_x4", "float4_e2m1fn_x4"])
def test_packing_keeps_values_the_format_has_and_clamps_the_rest(name: str) -> None:
    values = np.array([[0.5, -1.5, 4.0, -6.0, 1e9, -1e9, 0.0, 3.0]], np.float32)
    again = unpacked(packed(values, DTYPES[name]))
    largest = {"float8_e4m3fn_x4": 448, "float8_e5m2_x4": 57344, "float4_e2m1fn_x4": 6}[name]
    assert again.tolist() == [[0.5, -1.5, 4.0, -6.0, largest, -largest, 0.0, 3.0]]


def test_a_block_of_32_shares_a_scale_twice_the_smallest_that_fits() -> None:
    x = np.zeros((64, 8), ml_dtypes.bfloat16)
    x[0, 0], x[8, 5], x[40, 0] = 1.0, 6.0, 2.0**-20
    data, scale = run("quantize", x=x).results
    rows = scale[scale_rows(64)].astype(int)
    assert rows[0].tolist() == [127 + 0 - 7, 0]
    assert rows[1].tolist() == [0, 127 + 2 - 7]
    assert rows[5].tolist() == [127 - 20 - 7, 0]
    assert not scale[4:32].any()
    assert float(data[8, 5]) == 6.0 * 2.0 ** (7 - 2)


def test_an_mx_matmul_multiplies_what_its_quantised_operands_stand_for() -> None:
    left, right = bf16(128, 4 * 32), bf16(128, 4 * 48)
    wide = [
        a.astype(np.float32).reshape(128, -1, 4).transpose(0, 2, 1).reshape(512, -1) for a in (left, right)
    ]
    trace = run("matmul_mx", stationary=left, moving=right, times=2)
    expected = 2 * wide[0].T @ wide[1]
    error = np.linalg.norm(trace.results[0] - expected) / np.linalg.norm(expected)
    assert error < 0.06
    (first, _) = [i for i in trace.cores[0] if i.call == "nc_matmul_mx"]
    assert (first.macs, first.engine, first.elements) == (512 * 32 * 48, "tensor", 48)


def test_mx_is_refused_on_trn2() -> None:
    with pytest.raises(KernelRefused, match="quantize_mx on trn2") as caught:
        run("quantize", x=bf16(32, 8), target="trn2")
    assert caught.value.rule == "generation"
    assert Path(caught.value.file).name == "nki_library_kernels.py"


def test_a_running_sum_goes_on_where_the_registers_stand() -> None:
    x = RNG.standard_normal((16, 32)).astype(np.float32)
    np.testing.assert_allclose(
        run("running_sum", x=x).results[0], np.cumsum(2 * x, axis=1), rtol=1e-4, atol=1e-4
    )


def test_a_reduction_in_two_parts_is_read_out_at_its_end() -> None:
    x = RNG.standard_normal((16, 32)).astype(np.float32)
    result = run("sum_of_squares_in_two_parts", x=x).results[0]
    np.testing.assert_allclose(result[:, 0], (x**2).sum(axis=1), rtol=1e-5)


def test_the_silicon_is_its_first_revision() -> None:
    assert not run("revision", x=np.ones((2, 2), np.float32)).results[0].any()


def test_a_dataclass_of_nki_takes_fewer_and_other_values_than_its_fields() -> None:
    x = np.ones((4, 4), np.float32)
    assert np.array_equal(run("with_a_plan", x=x).results[0], 2 * x)


def test_a_while_loop_on_a_register_runs_until_data_says_zero() -> None:
    trace = run("countdown", x=np.ones((2, 2), np.float32), count=np.array([[3]], np.int32))
    assert np.array_equal(trace.results[0], np.full((2, 2), 8.0))
    assert sum(i.call == "branch" for i in trace.cores[0]) == 4


def test_an_address_outside_its_tensor_moves_nothing_when_it_may_be_skipped() -> None:
    weights = RNG.standard_normal((3, 8, 4)).astype(np.float32)
    chosen, skipped = (
        run("expert_or_nothing", weights=weights, which=np.array([[n]], np.int32)) for n in (2, 9)
    )
    assert np.array_equal(chosen.results[0], weights[2])
    assert np.array_equal(skipped.results[0], np.full((8, 4), 7.0))
    moved = [[i.transfer.bytes for i in t.cores[0] if i.transfer] for t in (chosen, skipped)]
    assert moved == [[4, 128, 128], [4, 0, 128]]


def test_only_the_rows_a_gather_moves_are_counted() -> None:
    table = RNG.standard_normal((6, 4)).astype(np.float32)
    trace = run("gather_some", table=table, rows=np.array([[5], [-1], [0], [6]], np.int32))
    assert np.array_equal(trace.results[0], np.stack([table[5], 0 * table[0], table[0], 0 * table[0]]))
    assert [i.transfer.bytes for i in trace.cores[0] if i.transfer] == [16, 32, 64]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float32])
def test_four_dimensions_are_transposed_outermost_with_innermost(dtype: Any) -> None:
    x = RNG.standard_normal((16, 2, 3, 8)).astype(dtype)
    assert np.array_equal(run("transposed", x=x).results[0], x.transpose(3, 1, 2, 0))


def test_loads_wait_for_memory_and_are_refused_only_when_one_use_needs_too_much() -> None:
    trace = run("loads_before_use", x=np.ones((128, 8192), np.float32), tiles=9)
    assert len(trace.cores[0]) == 18


def test_scattering_adds_to_the_rows_named_once() -> None:
    table = RNG.standard_normal((6, 4)).astype(np.float32)
    values = RNG.standard_normal((2, 4)).astype(np.float32)
    expected = table.copy()
    expected[[4, 1]] += values
    found = run("scatter_add", table=table, rows=np.array([[4], [1]], np.int32), values=values).results[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nonzero_elements_are_found_on_every_16th_partition_alone() -> None:
    x = np.zeros((32, 4), np.float32)
    x[0, [1, 3]] = x[16, 2] = x[5, 0] = 1
    found = run("routed", x=x).results[0]
    assert found[0].tolist() == [11, 13, -1, -1, 2]
    assert found[16].tolist() == [12, -1, -1, -1, 1]
    assert (found[1:16] == 5).all()


def test_the_largest_of_a_snake_through_16_partitions_come_ascending() -> None:
    snake = RNG.permutation(48).astype(np.float32)
    x = snake.reshape(3, 16).T.astype(ml_dtypes.bfloat16)
    values, places = run("best", x=x, n=42, k=3).results
    order = np.argsort(snake[:42])[-3:]
    assert places[0].tolist() == places[15].tolist() == order.tolist()
    assert values[7].astype(np.float32).tolist() == snake[order].tolist()
