"""The first dialect: the results of its kernels, and that it adds no instruction of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from simulator.api import simulate
from simulator.compiler.first_dialect import compiled
from simulator.errors import KernelRefused, SimulatorError, UnknownName
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute
from simulator.trace import Trace

KERNELS = str(Path(__file__).with_name("nki_beta_kernels.py"))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((128, 64)).astype(np.float32)
Y = RNG.standard_normal((128, 64)).astype(np.float32)


def run(function: str, *, lnc: int = 1, **arguments: Any) -> Trace:
    return execute(KernelRef(function, file=KERNELS), arguments, target="trn2", lnc=lnc)


def calls(trace: Trace, core: int = 0) -> list[str]:
    return [instruction.call for instruction in trace.cores[core]]


def test_an_assigned_result_is_one_instruction_at_the_line_that_calls_it() -> None:
    trace = run("placed", x=X, y=Y)
    assert np.array_equal(trace.results[0], X + Y)
    assert calls(trace) == ["dma_copy", "dma_copy", "tensor_tensor", "dma_copy"]
    add = trace.cores[0][2]
    source = trace.sources[add.source]
    assert "nl.add" in trace.files[source.file].splitlines()[source.line - 1]


def test_operators_follow_pythons_order_and_numpys_meaning() -> None:
    expected = (2 - X) * Y / 4 + np.exp(X) + Y
    assert np.allclose(run("operators", x=X, y=Y).results[0], expected, rtol=1e-5, atol=1e-6)


def test_a_result_keeps_its_value_when_the_tile_it_was_assigned_to_changes() -> None:
    assert np.array_equal(run("overwritten", x=X).results[0], X * 2)


@pytest.mark.parametrize("rows", [100, 128, 200])
def test_a_mask_trims_the_last_tile(rows: int) -> None:
    x = RNG.standard_normal((rows, 32)).astype(np.float32)
    trace = run("masked", x=x)
    assert np.allclose(trace.results[0], x - x.max(axis=1, keepdims=True))
    assert trace.cores[0][-1].partitions == (rows - 1) % 128 + 1
    assert trace.warnings == []


def test_a_mask_that_is_no_box_selects_elements() -> None:
    x = RNG.standard_normal((128, 128)).astype(np.float32)
    assert np.array_equal(run("causal", x=x).results[0], np.tril(x))


def test_affine_select_reads_its_predicate() -> None:
    x = RNG.standard_normal((128, 128)).astype(np.float32)
    assert np.array_equal(run("selected", x=x).results[0], np.where(np.tri(128), x, np.float32(-1)))


def test_an_index_outside_the_tensor_is_refused_with_its_line() -> None:
    with pytest.raises(KernelRefused, match=r"reaches 1 to 128 of 128") as refused:
        run("outside", x=X)
    assert refused.value.rule == "bounds"
    assert Path(refused.value.file).name == "nki_beta_kernels.py"


def test_affine_indices_permute_free_elements() -> None:
    x = np.arange(24, dtype=np.int8).reshape(4, 6)
    expected = x.reshape(4, 3, 2).transpose(0, 2, 1).reshape(4, 6)
    assert np.array_equal(run("pairs_swapped", x=x).results[0], expected)


def test_a_tile_is_read_with_more_dimensions_than_it_has() -> None:
    x = RNG.standard_normal((4, 6, 6)).astype(np.float32)
    expected = x.reshape(4, 3, 2, 3, 2).mean(axis=(2, 4))
    assert np.allclose(run("pooled", x=x).results[0], expected, rtol=1e-5)


def test_matmuls_accumulate_in_psum_without_a_fill() -> None:
    left = RNG.standard_normal((256, 64)).astype(ml_dtypes.bfloat16)
    right = RNG.standard_normal((256, 128)).astype(ml_dtypes.bfloat16)
    trace = run("blocked_matmul", lhs_t=left, rhs=right)
    expected = left.astype(np.float32).T @ right.astype(np.float32)
    assert np.allclose(trace.results[0].astype(np.float32), expected, rtol=1e-2, atol=0.05)
    assert calls(trace) == ["dma_copy", "dma_copy", "nc_matmul"] * 2 + ["tensor_copy", "dma_copy"]


def test_a_matmul_that_is_not_transposed_transposes_first() -> None:
    x = RNG.standard_normal((64, 128)).astype(np.float32)
    trace = run("plain_matmul", x=x, y=Y)
    assert np.allclose(trace.results[0], x @ Y, atol=1e-4)
    assert calls(trace).count("nc_transpose") == 1


@pytest.mark.parametrize("width", [64, 1200])
def test_one_partition_is_broadcast_to_all_by_matmuls(width: int) -> None:
    x = RNG.standard_normal((128, width)).astype(np.float32)
    bias = RNG.standard_normal((1, width)).astype(np.float32)
    trace = run("bias_added", x=x, bias=bias)
    assert np.array_equal(trace.results[0], x + bias)
    assert calls(trace).count("nc_matmul") == -(-width // 512)


def test_loop_reduce_folds_over_the_loop() -> None:
    assert np.array_equal(run("largest", x=X).results[0], X.max(axis=1, keepdims=True))


def test_loop_reduce_has_no_value_before_it_is_assigned() -> None:
    with pytest.raises(KernelRefused, match="read before it was assigned") as refused:
        run("folded_at_once", x=X)
    assert refused.value.rule == "loop-reduce"


def test_neighbouring_copies_of_psum_are_one_unless_the_kernel_runs_as_written() -> None:
    x = RNG.standard_normal((128, 512)).astype(np.float32)
    expected = x.reshape(128, 4, 128).transpose(2, 1, 0).reshape(128, 512)
    traces = [run("transposed_parts", x=x), run("as_written", x=x)]
    assert all(np.array_equal(trace.results[0], expected) for trace in traces)
    changed, plain = (compiled(trace) for trace in traces)
    assert plain is traces[1]
    assert [calls(t).count("tensor_copy") for t in (changed, plain)] == [1, 4]
    copy = next(i for i in changed.cores[0] if i.call == "tensor_copy")
    assert copy.elements == 512
    transposes = [i.writes[0] for i in changed.cores[0] if i.call == "nc_transpose"]
    assert list(copy.reads) == transposes
    assert len({r.tensor for r in transposes}) == 1
    assert [r.byte0 for r in transposes] == [0, 512, 1024, 1536]
    assert [i.index for i in changed.cores[0]] == list(range(len(changed.cores[0])))


def test_every_program_of_a_grid_runs_on_one_core() -> None:
    x = RNG.standard_normal((256, 128)).astype(np.float32)
    trace = run("launched", x=x, lnc=2)
    assert np.array_equal(trace.results[0], x * 2)
    assert [len(core) for core in trace.cores] == [4 * 3, 0]


def test_a_grid_over_cores_divides_its_programs() -> None:
    x = RNG.standard_normal((512, 64)).astype(np.float32)
    trace = run("on_two_cores", x=x, lnc=2)
    assert np.array_equal(trace.results[0], x * 2)
    assert [len(core) for core in trace.cores] == [6, 6]
    with pytest.raises(KernelRefused, match="2 cores"):
        run("on_two_cores", x=x)


def test_a_kernel_without_a_grid_runs_on_the_first_core_alone() -> None:
    trace = run("placed", x=X, y=Y, lnc=2)
    assert [len(core) for core in trace.cores] == [4, 0]


def test_allocated_blocks_take_turns_at_their_addresses() -> None:
    x = RNG.standard_normal((128, 256)).astype(np.float32)
    trace = run("allocated", x=x)
    assert np.array_equal(trace.results[0], x)
    addresses = [t.address for t in trace.tensors if t.memory == "sbuf"]
    assert addresses == [(0, 1024), (0, 1280)] * 2


def test_what_is_not_executed_is_refused_with_a_sentence() -> None:
    with pytest.raises(UnknownName, match=r"neuronxcc\.nki\.language\.rand is not executed"):
        run("unknown", x=X)
    with pytest.raises(KernelRefused, match="indexed with a tile"):
        run("indirect", x=X)


def test_both_dialects_leave_no_module_behind() -> None:
    import sys

    run("placed", x=X, y=Y)
    assert not [name for name in sys.modules if name.partition(".")[0] in ("nki", "neuronxcc")]


def test_times_need_no_values() -> None:
    timed = simulate(
        KernelRef("blocked_matmul", file=KERNELS),
        {"lhs_t": np.zeros((256, 64), np.float32), "rhs": np.zeros((256, 128), np.float32)},
        target="trn2",
        lnc=1,
        values=False,
    )
    assert timed.list_scheduled.duration_ns > 0


def test_a_kernel_called_outside_a_launch_says_what_to_do() -> None:
    from simulator.loading import load

    with pytest.raises(SimulatorError, match="outside a kernel launch"):
        load(KernelRef("placed", file=KERNELS))(X, Y)
