"""Any call of the instruction set gives a result or a refusal with rule and line, never a bare error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import BadKernel, KernelRefused
from simulator.nki import isa, language
from simulator.nki.execute import execute
from simulator.nki.isa import registers
from simulator.nki.ops import OPS
from simulator.trace import Trace

CALLS = sorted(name for name in isa.__all__ if inspect.isfunction(getattr(isa, name)))
DTYPES = ("float32", "bfloat16", "int32", "uint32", "uint8", "uint16", "float8_e4m3", "float8_e4m3fn_x4")
TENSORS = {
    *("dst", "src", "data", "data0", "data1", "data2", "stationary", "moving", "predicate", "on_true_tile"),
    *("index", "src_buffer", "indices", "vals", "dst_scale", "stationary_scale", "moving_scale", "on_true"),
    *("segment_ids", "src_seeds", "reduce_res", "val_dst", "idx_dst", "bound0", "bound1", "dst_idx"),
}
NUMBERS = st.one_of(st.integers(-3, 130), st.floats(-2, 2, width=16), st.none(), st.booleans())
ENUMS = {
    "engine": st.sampled_from(list(isa.engine)),
    "dge_mode": st.sampled_from(list(isa.dge_mode)),
    "oob_mode": st.sampled_from(list(isa.oob_mode)),
    "reduce_cmd": st.sampled_from(list(isa.reduce_cmd)),
    "perf_mode": st.sampled_from(list(isa.matmul_perf_mode)),
    "dma_engine": st.sampled_from(list(isa.dma_engine)),
}
OPERATIONS = st.sampled_from([*(OPS[name] for name in sorted(OPS)), None])

Tile = tuple[tuple[int, ...], str, str, str]
"""Shape, dtype, memory, and what is done with it before it is used."""


def tiles() -> st.SearchStrategy[Tile]:
    sizes = st.sampled_from((1, 2, 4, 8, 16, 32, 64, 128, 130))
    shapes = st.one_of(
        st.tuples(sizes, st.sampled_from((1, 8, 64, 128, 512))),
        st.tuples(sizes, st.sampled_from((1, 2, 4)), st.sampled_from((1, 8, 64))),
        st.tuples(sizes),
    )
    memories = st.sampled_from(("sbuf", "sbuf", "sbuf", "psum", "shared_hbm"))
    prepared = st.sampled_from(("filled", "filled", "left alone", "half", "stepped", "repeated"))
    return st.tuples(shapes, st.sampled_from(DTYPES), memories, prepared)


def made(tile: Tile) -> Any:
    shape, dtype, memory, prepared = tile
    tensor = language.ndarray(shape, dtype=dtype, buffer=getattr(language, memory))
    if prepared != "left alone" and memory != "shared_hbm":
        isa.memset(tensor, 1)
    if prepared == "half" and shape[-1] > 1:
        return tensor[..., : shape[-1] // 2]
    if prepared == "stepped":
        return tensor[..., ::2]
    if prepared == "repeated":
        return tensor.ap(pattern=[[int(np.prod(shape[1:])), shape[0]], [0, 8]])
    return tensor


def arguments(call: str) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly what each parameter is for, now and then something else."""
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    for name, parameter in inspect.signature(getattr(isa, call)).parameters.items():
        usual = ENUMS.get(name) or (
            tiles().map(lambda t: ("tile", t))
            if name in TENSORS
            else OPERATIONS
            if "op" in name.split("_") or name in ("op0", "op1", "comp_op0", "comp_op1")
            else st.lists(tiles().map(lambda t: ("tile", t)), max_size=2)
            if name == "srcs"
            else st.one_of(NUMBERS, tiles().map(lambda t: ("tile", t)))
        )
        if name in (
            "pattern",
            "shuffle_mask",
            "tile_position",
            "tile_size",
            "axes",
            "axis",
            "cores",
            "scales",
        ):
            pair = st.lists(st.integers(-1, 130), min_size=2, max_size=2)
            usual = st.one_of(st.lists(pair, max_size=3), st.lists(st.integers(-1, 40), max_size=33), NUMBERS)
        if name == "name":
            continue
        odd = st.one_of(NUMBERS, st.just("nonsense"), tiles().map(lambda t: ("tile", t)))
        either = st.integers(0, 9).flatmap(lambda n, usual=usual, odd=odd: odd if n == 0 else usual)
        if parameter.default is not inspect.Parameter.empty:
            either = st.one_of(st.just(parameter.default), either)
        chosen[name] = either
    return st.fixed_dictionaries(chosen)


def value(given_value: Any) -> Any:
    if isinstance(given_value, tuple) and given_value[:1] == ("tile",):
        return made(given_value[1])
    return [value(one) for one in given_value] if isinstance(given_value, list) else given_value


def outcome(call: Callable[[], Any], values: bool = True) -> Trace | KernelRefused:
    try:
        return execute(call, {}, target="trn3", lnc=1, values=values)
    except KernelRefused as refusal:
        return refusal


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_any_call_gives_a_result_or_a_refusal_with_its_rule_and_line(name: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(chosen=arguments(name), values=st.booleans())
    def check(chosen: dict[str, Any], values: bool) -> None:
        def kernel() -> None:
            getattr(isa, name)(**{key: value(one) for key, one in chosen.items()})

        found = outcome(kernel, values)
        if isinstance(found, KernelRefused):
            assert found.rule
            assert found.hint
            assert "\n" not in found.message
            assert Path(found.file).name == Path(__file__).name

    check()


def refused(kernel: Callable[[], Any]) -> KernelRefused:
    found = outcome(kernel)
    assert isinstance(found, KernelRefused)
    return found


def test_shapes_that_do_not_combine_are_named_with_the_call_and_its_operands() -> None:
    def kernel() -> None:
        tile = language.zeros((128, 8), dtype=language.float32)
        isa.tensor_reduce(dst=tile, op=language.add, data=tile, axis=7)

    found = refused(kernel)
    assert "tensor_reduce" in found.message
    assert found.line == kernel.__code__.co_firstlineno + 2


def test_a_number_where_a_tile_belongs_is_named() -> None:
    def kernel() -> None:
        isa.tensor_copy(dst=language.zeros((128, 8), dtype=language.float32), src=3)

    found = refused(kernel)
    assert found.rule == "operand-kind"
    assert found.message == "tensor_copy is given src=3 where a tensor belongs"


def test_a_parameter_that_a_call_has_not_is_refused_by_name() -> None:
    def kernel() -> None:
        isa.memset(language.ndarray((1, 1), dtype=language.float32), 0, colour="red")

    found = refused(kernel)
    assert (found.rule, "colour" in found.message) == ("signature", True)


def test_python_of_the_kernels_own_that_fails_is_told_as_such() -> None:
    def kernel() -> None:
        np.zeros((2, 3)) @ np.zeros((2, 3))

    with pytest.raises(BadKernel, match=r"test_nki_misuse\.py:\d+: ValueError"):
        execute(kernel, {}, target="trn3", lnc=1)


def test_a_loop_that_nothing_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "MOST_ROUNDS", 1000)

    def kernel() -> None:
        register = isa.register_alloc(1)
        while register:
            isa.register_move(register, 1)

    def counted() -> None:
        language.fori_loop(0, 2**31, lambda _: None)

    for endless in (kernel, counted):
        found = refused(endless)
        assert (found.rule, "1,000 times" in found.message) == ("endless-loop", True)
