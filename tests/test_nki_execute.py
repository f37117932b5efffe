"""The NKI language: results on real dtypes, and the instructions a kernel leaves behind."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from simulator.api import simulate
from simulator.dialect import nki_modules
from simulator.errors import BadKernel, KernelRefused, UnknownName
from simulator.kernel_ref import KernelRef
from simulator.loading import load
from simulator.machine.facts import machine
from simulator.nki.execute import execute
from simulator.nki.tracer import Launch
from simulator.pause import collector_paused
from simulator.trace import Trace

KERNELS = str(Path(__file__).with_name("nki_kernels.py"))
X = np.arange(128 * 8, dtype=np.float32).reshape(128, 8)


def run(function: str, *, lnc: int = 1, target: str = "trn3", **arguments: Any) -> Trace:
    return execute(KernelRef(function, file=KERNELS), arguments, target=target, lnc=lnc)


def test_a_kernel_gives_its_result() -> None:
    assert np.array_equal(run("double", x=X).results[0], X * 2)


def test_bfloat16_is_rounded_once_to_nearest_even() -> None:
    x = np.full((128, 8), 1.00390625, dtype=np.float32).astype(ml_dtypes.bfloat16)
    result = run("double", x=x).results[0]
    assert result.dtype == ml_dtypes.bfloat16
    assert np.array_equal(result.astype(np.float32), x.astype(np.float32) * 2)


def test_matmuls_accumulate_in_fp32() -> None:
    rng = np.random.default_rng(0)
    left = rng.standard_normal((128, 64)).astype(ml_dtypes.bfloat16)
    right = rng.standard_normal((128, 96)).astype(ml_dtypes.bfloat16)
    expected = 2 * left.astype(np.float32).T @ right.astype(np.float32)
    np.testing.assert_allclose(
        run("matmul", stationary=left, moving=right).results[0], expected, rtol=1e-5, atol=1e-4
    )
    once = run("overwrite", stationary=left, moving=right).results[0]
    np.testing.assert_allclose(once, expected / 2, rtol=1e-5, atol=1e-4)


def test_rms_norm_agrees_with_numpy() -> None:
    rng = np.random.default_rng(1)
    x, weight = (
        rng.standard_normal((128, 64)).astype(np.float32),
        rng.standard_normal((1, 64)).astype(np.float32),
    )
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6) * weight
    np.testing.assert_allclose(run("normalised", x=x, weight=weight).results[0], expected, rtol=1e-5)


def test_a_scalar_offset_picks_the_row_that_data_names() -> None:
    trace = run("pick_row", table=X, which=np.array([[5]], dtype=np.int32))
    assert np.array_equal(trace.results[0], X[5:6])
    moves = [i.transfer for i in trace.cores[0] if i.transfer is not None]
    assert [move.dynamic for move in moves] == [False, True, False]


def test_a_vector_offset_gathers_rows_in_order() -> None:
    rows = np.array([[7], [0], [7], [99]], dtype=np.int32)
    assert np.array_equal(run("gather_rows", table=X, rows=rows).results[0], X[rows[:, 0]])


def test_a_gathered_row_outside_the_table_is_refused() -> None:
    with pytest.raises(KernelRefused, match="outside its tensor"):
        run("gather_rows", table=X, rows=np.array([[128]], dtype=np.int32))


def test_top8_finds_each_tie_once() -> None:
    scores = np.zeros((2, 16), dtype=np.float32)
    scores[0, [3, 9]] = 1.0
    best, where = run("top8", scores=scores).results
    assert best[0].tolist() == [1.0, 1.0, 0, 0, 0, 0, 0, 0]
    assert where[0].tolist() == [3, 9, 0, 1, 2, 4, 5, 6]


def test_affine_select_masks_above_the_diagonal() -> None:
    scores = np.ones((8, 8), dtype=np.float32)
    assert np.array_equal(run("causal", scores=scores).results[0], np.tril(np.full((8, 8), 2.0)) - 1)


def test_two_cores_exchange_tiles() -> None:
    expected = np.concatenate([X[64:], X[:64]])
    assert np.array_equal(run("swap_halves", lnc=2, x=X).results[0], expected)
    assert np.array_equal(run("read_the_other_half", lnc=2, x=X).results[0], expected)


def test_the_matching_exchanges_of_two_cores_carry_one_number() -> None:
    cores = run("swap_halves", lnc=2, x=X).cores
    numbers = [[i.rendezvous for i in core if i.rendezvous is not None] for core in cores]
    assert numbers == [[1], [1]]


def test_an_all_reduce_takes_its_time_and_adds_no_peer() -> None:
    kernel = KernelRef("over_ranks", file=KERNELS)
    simulation = simulate(kernel, {"x": X})
    assert np.array_equal(simulation.trace.results[0], X)
    (index,) = [i.index for i in simulation.trace.cores[0] if i.call == "all_reduce"]
    timeline = simulation.as_written
    took = timeline.end_ns[0][index] - timeline.start_ns[0][index]
    assert took >= machine("trn3").pair.collective_ns


def test_a_dynamic_loop_runs_as_often_as_its_data_says() -> None:
    assert np.array_equal(run("looped", x=X, count=np.array([[3]], dtype=np.int32)).results[0], X + 3)


def test_instructions_say_engine_line_and_what_they_touch() -> None:
    trace = run("double", x=X)
    call = next(i for i in trace.cores[0] if i.call == "tensor_scalar")
    source = trace.sources[call.source]
    assert (call.engine, call.opcode, call.elements, call.partitions) == ("vector", "TENSOR_SCALAR", 8, 128)
    assert Path(source.file).name == "nki_kernels.py"
    assert "tensor_scalar" in trace.files[source.file].splitlines()[source.line - 1]
    assert call.reads == call.writes
    assert call.reads[0][1:] == (0, 128, 0, 32)


def test_a_transfer_counts_bytes_and_contiguous_pieces() -> None:
    first = next(i.transfer for i in run("double", x=X).cores[0] if i.transfer is not None)
    assert (first.bytes, first.descriptors, first.descriptor_bytes, first.partitions) == (
        4096,
        128,
        32.0,
        128,
    )
    assert (first.source_memory, first.target_memory, first.dge) == ("hbm", "sbuf", "swdge")


def test_depends_on_and_no_reorder_reach_the_trace() -> None:
    core = run("ordered", x=X).cores[0]
    fills = [i for i in core if i.call == "memset"]
    assert fills[0].after == (fills[1].index,)
    assert [i.call for i in core if i.no_reorder] == ["tensor_scalar"]


def test_without_values_the_same_instructions_are_traced() -> None:
    ref = KernelRef("pick_row", file=KERNELS)
    arguments = {"table": X, "which": np.array([[5]], dtype=np.int32)}
    full, timed = (execute(ref, arguments, target="trn3", lnc=1, values=v) for v in (True, False))
    assert [(i.call, i.reads, i.writes) for i in full.cores[0]] == [
        (i.call, i.reads, i.writes) for i in timed.cores[0]
    ]


def test_a_kernel_does_not_change_its_callers_arrays() -> None:
    before = X.copy()
    run("double", x=X)
    assert np.array_equal(X, before)


REFUSED = {
    "too_many_partitions": "partition-dimension",
    "wide_moving": "tile-limit",
    "across_banks": "psum-bank",
    "matmul_to_sbuf": "operand-memory",
    "reads_nothing": "uninitialised",
    "fills_sbuf": "sbuf-capacity",
    "fills_psum": "psum-capacity",
    "gpsimd_on_psum": "gpsimd-psum",
    "odd_start": "start-partition",
    "dma_from_psum": "dma-psum",
    "out_of_bounds": "bounds",
}


@pytest.mark.parametrize(("function", "rule"), REFUSED.items())
def test_what_the_hardware_refuses_is_refused_with_rule_file_and_line(function: str, rule: str) -> None:
    with pytest.raises(KernelRefused) as caught:
        run(function, target="trn2", x=X)
    assert caught.value.rule == rule
    assert Path(caught.value.file).name == "nki_kernels.py"
    assert caught.value.line > 0
    assert caught.value.hint


def test_reading_a_tile_written_in_part_is_a_warning_with_file_and_line() -> None:
    trace = run("reads_half", x=X)
    [warning] = trace.warnings
    assert "nki_kernels.py:169: tensor_scalar reads" in warning


def test_trn2_takes_narrower_moving_tiles_than_trn3() -> None:
    left, right = np.ones((128, 8), np.float32), np.ones((128, 513), np.float32)
    with pytest.raises(KernelRefused, match="513 moving columns"):
        run("matmul", target="trn2", stationary=left, moving=right)


def test_a_core_that_never_comes_is_refused_not_waited_for() -> None:
    with pytest.raises(KernelRefused, match="never reaches"):
        run("lonely", lnc=2, x=X)


def test_an_unknown_name_says_which_release_has_it() -> None:
    with pytest.raises(UnknownName, match=r"nki.language.arange .*neuronxcc.nki"):
        run("beta_name", x=X)
    with pytest.raises(UnknownName, match=r"no 'tensor_cpoy' in any release"):
        run("misspelt", x=X)


def test_pythons_own_errors_become_one_sentence_with_the_line() -> None:
    with pytest.raises(BadKernel, match=r"nki_kernels.py:\d+: IndexError"):
        run("broken", x=X)


def test_a_result_must_be_in_hbm() -> None:
    with pytest.raises(BadKernel, match="SBUF"):
        run("returned_tile", x=X)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(BadKernel, match="'x'"):
        run("double")


def test_a_missing_function_lists_the_kernels_of_the_file() -> None:
    with pytest.raises(BadKernel) as caught:
        load(KernelRef("nothing", file=KERNELS))
    assert "double" in caught.value.hint


def test_a_file_that_does_not_import_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad_kernel.py"
    bad.write_text("import no_such_module_anywhere\n")
    with pytest.raises(BadKernel, match="no_such_module_anywhere"):
        load(KernelRef("k", file=str(bad)))


def test_nki_is_ours_inside_and_gone_outside() -> None:
    with nki_modules():
        import nki.isa

        assert nki.isa.__name__ == "simulator.nki.isa"
    assert not [name for name in sys.modules if name == "nki" or name.startswith("nki.")]


@pytest.mark.parametrize("lnc", [1, 2])
def test_a_launch_is_gone_once_its_trace_is_made(lnc: int) -> None:
    there = {id(each) for each in gc.get_objects() if type(each) is Launch}
    with collector_paused():
        trace = run("double", lnc=lnc, x=X)
        left = [each for each in gc.get_objects() if type(each) is Launch and id(each) not in there]
    assert trace.cores[0]
    assert not left


def test_an_installed_nki_comes_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = type(sys)("nki")
    monkeypatch.setitem(sys.modules, "nki", theirs)
    with nki_modules():
        assert sys.modules["nki"] is not theirs
    assert sys.modules["nki"] is theirs


def test_a_package_named_like_one_of_ours_loads_from_its_own_folder(tmp_path: Path) -> None:
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("FACTOR = 3.0\n")
    (package / "theirs.py").write_text(
        "import nki\nfrom kernels.helper import FACTOR\n\n@nki.jit\ndef factor():\n    return FACTOR\n"
    )
    import kernels

    kernel = load(KernelRef("factor", file=str(package / "theirs.py")))
    assert kernel() == 3.0
    assert sys.modules["kernels"] is kernels


def test_inputs_whose_values_chose_addresses_or_loops_are_named() -> None:
    assert run("pick_row", table=X, which=np.array([[5]], dtype=np.int32)).data_dependent == ("which",)
    assert run("gather_rows", table=X, rows=np.zeros((4, 1), np.int32)).data_dependent == ("rows",)
    assert run("looped", x=X, count=np.array([[3]], dtype=np.int32)).data_dependent == ("count",)
    assert run("double", x=X).data_dependent == ()
