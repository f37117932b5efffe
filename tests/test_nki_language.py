"""Functions of nki.language called on tiles agree with NumPy, and random numbers keep their promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special

from simulator.api import simulate
from simulator.errors import KernelRefused
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute
from simulator.trace import Trace

KERNELS = str(Path(__file__).with_name("language_kernels.py"))
SOURCE = np.random.default_rng(0)
X = (SOURCE.standard_normal((64, 4, 10)) * 3).astype(np.float32)
MARSAGLIA = (123456789, 362436069, 521288629, 88675123, 5783321, 6615241)


def run(function: str, *, target: str = "trn3", **arguments: Any) -> Trace:
    return execute(KernelRef(function, file=KERNELS), arguments, target=target, lnc=1)


def result(function: str, **arguments: Any) -> Any:
    return run(function, **arguments).results[0]


UNARY = "ceil cos exp floor negative reciprocal sign square trunc logical_not"


@pytest.mark.parametrize("name", UNARY.split())
def test_a_function_of_one_tile_agrees_with_numpy(name: str) -> None:
    np.testing.assert_allclose(result("one", x=X, name=name), getattr(np, name)(X), rtol=2e-5, atol=1e-5)


def test_a_tangent_is_a_sine_over_a_cosine() -> None:
    np.testing.assert_allclose(result("one", x=X / 8, name="tan"), np.tan(X / 8), rtol=2e-5, atol=1e-5)


def test_bits_are_inverted() -> None:
    x = np.arange(-64, 64, dtype=np.int32).reshape(64, 2)
    assert np.array_equal(result("one", x=x, name="invert"), ~x)


@pytest.mark.parametrize("name", ["max", "mean", "min", "prod", "sum"])
@pytest.mark.parametrize("axis", [2, (1, 2), -1])
@pytest.mark.parametrize("keepdims", [True, False])
def test_a_reduction_takes_its_axis_by_place(name: str, axis: Any, keepdims: bool) -> None:
    found = result("over", x=X, name=name, axis=axis, keepdims=keepdims)
    expected = getattr(np, name)(X, axis=axis, keepdims=keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_variance_keeps_its_dimensions() -> None:
    found = result("over", x=X, name="var", axis=(1, 2), keepdims=False)
    np.testing.assert_allclose(found, X.var(axis=(1, 2), keepdims=True), rtol=1e-5)


def test_a_reduction_over_partitions_is_refused() -> None:
    with pytest.raises(KernelRefused, match="partition axis") as refused:
        run("over", x=X, name="sum", axis=0, keepdims=False)
    assert refused.value.file == KERNELS


@pytest.mark.parametrize("axis", [-1, (1, 2)])
def test_softmax_agrees_with_scipy(axis: Any) -> None:
    np.testing.assert_allclose(result("softmax", x=X, axis=axis), special.softmax(X, axis=axis), rtol=1e-5)


def test_all_is_one_where_no_element_is_zero() -> None:
    x = np.where(SOURCE.random((128, 6)) < 0.1, 0, X[0, 0, 0]).astype(np.float32)
    assert np.array_equal(result("every", x=x), x.all(axis=1).astype(np.float32))


def test_rms_norm_divides_by_the_root_of_the_mean_square() -> None:
    x, w = X.reshape(64, 40), X[:1].reshape(1, 40)
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6) * w
    np.testing.assert_allclose(result("rms_norm", x=x, w=w), expected, rtol=1e-5)


def test_where_chooses_between_a_tile_and_a_constant() -> None:
    condition = (X > 0).astype(np.float32)
    assert np.array_equal(result("where", condition=condition, x=X), np.where(X > 0, X, -1))


@pytest.mark.parametrize("transpose_x", [True, False])
def test_matmul_turns_its_left_operand_when_it_must(transpose_x: bool) -> None:
    x, y = X.reshape(64, 40), X.reshape(64, 40)[: 64 if transpose_x else 40]
    found = run("matmul", x=x, y=y, transpose_x=transpose_x)
    np.testing.assert_allclose(found.results[0], (x.T if transpose_x else x) @ y, rtol=1e-5, atol=1e-4)
    calls = [each.call for each in found.cores[0]]
    assert calls.count("nc_transpose") == (0 if transpose_x else 1)


@pytest.mark.parametrize(
    ("dtype", "call"), [(ml_dtypes.bfloat16, "dma_transpose"), (np.float32, "nc_transpose")]
)
def test_a_load_transposes_two_byte_elements_on_the_way(dtype: Any, call: str) -> None:
    x = X.reshape(64, 40).astype(dtype)
    found = run("load_transposed", x=x)
    assert np.array_equal(found.results[0], x.T)
    assert call in [each.call for each in found.cores[0]]


def test_gather_reads_each_partition_by_its_own_indices() -> None:
    x, indices = X.reshape(64, 40), SOURCE.integers(0, 40, (64, 12)).astype(np.uint32)
    expected = np.take_along_axis(x, indices.astype(np.int64), axis=1)
    assert np.array_equal(result("gathered", x=x, indices=indices), expected)


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_dropout_zeroes_that_share_and_keeps_the_rest_as_it_was(rate: float) -> None:
    x = np.ones((128, 200), np.float32) * 3
    found = result("dropped", x=x, rate=rate)
    assert set(np.unique(found)) <= {0.0, 3.0}
    assert (found == 0).mean() == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_a_seed_draws_the_same_uniform_numbers_again(target: str) -> None:
    seed = np.array([[42]], np.int32)
    first, more, again = run("drawn_twice", target=target, seed=seed, columns=50).results
    assert np.array_equal(first, again)
    assert not np.array_equal(first, more)
    assert 0 <= first.min() < 0.01
    assert 0.99 < first.max() < 1
    assert first.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(first[0], first[1])


def test_a_generator_continues_from_the_state_it_was_given() -> None:
    state = np.tile(np.array(MARSAGLIA, np.uint32), (128, 1))
    first, more, again = run("continued", target="trn2", state=state).results
    # The first word from the seeds of Marsaglia's paper, worked out with Python's integers.
    x, _, _, _, v, d = MARSAGLIA
    t = x ^ (x >> 2)
    v = (v ^ (v << 4) ^ t ^ (t << 1)) % (1 << 32)
    assert first[0, 0] == (d + 362437 + v) % (1 << 32)
    assert np.array_equal(more, again)
    assert not np.array_equal(first, more)


def test_random_values_lie_between_their_bounds() -> None:
    low = np.linspace(-1, 1, 128, dtype=np.float32).reshape(128, 1)
    found = result("between", low=low, high=2.0)
    assert (found >= low).all()
    assert found.max() < 2
    with pytest.raises(KernelRefused, match="trn3"):
        run("between", target="trn2", low=low, high=2.0)


def test_random_bits_need_an_integer_tile() -> None:
    with pytest.raises(KernelRefused, match="rng-dtype"):
        run("floats_from_rng", x=X)


def test_drawing_numbers_takes_the_vector_engine_time() -> None:
    place = KernelRef("drawn_twice", file=KERNELS)
    few, many = (
        simulate(place, {"seed": np.array([[1]], np.int32), "columns": n}, target="trn2", lnc=1)
        for n in (64, 512)
    )
    assert many.as_written.duration_ns > few.as_written.duration_ns


def test_a_tensor_each_core_returns_from_private_memory_is_one_tensor_with_a_warning() -> None:
    x, place = X.reshape(64, 40), KernelRef("halves", file=KERNELS)
    private = execute(place, {"x": x, "buffer": "hbm"}, target="trn2", lnc=2)
    shared = execute(place, {"x": x, "buffer": "shared_hbm"}, target="trn2", lnc=2)
    assert np.array_equal(private.results[0], x)
    assert np.array_equal(shared.results[0], x)
    assert not shared.warnings
    assert len(private.warnings) == 1
    assert "nl.shared_hbm" in private.warnings[0]


def test_a_reduction_whose_result_does_not_fit_says_what_its_axes_are() -> None:
    with pytest.raises(KernelRefused, match=r"over axis 1 gives 640 elements") as refused:
        run("misread_axis", x=X)
    assert "2 the last free dimension" in refused.value.hint


def test_one_matmul_of_trn3_fills_psum_where_trn2_has_a_bank() -> None:
    x, y = X.reshape(64, 40)[:, :1], np.tile(X.reshape(64, 40), (1, 100))
    np.testing.assert_allclose(result("whole_psum", x=x, y=y), x.T @ y, rtol=1e-5, atol=1e-4)
    with pytest.raises(KernelRefused, match="tile-limit"):
        run("whole_psum", target="trn2", x=x, y=y)
    with pytest.raises(KernelRefused, match=r"tile-limit|psum-capacity"):
        run("whole_psum", x=x, y=np.tile(y, (1, 2)))


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn, ml_dtypes.bfloat16])
def test_an_access_pattern_reads_types_numpy_has_no_code_for(dtype: Any) -> None:
    x = X.reshape(64, 40).astype(dtype)
    assert np.array_equal(result("every_second", x=x), x[:, 1::2])
