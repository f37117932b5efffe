"""Kernel arguments as typed on the command line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from collectors.arguments import data_hash, parse, peers
from collectors.errors import UnreadableInput, UsageError
from simulator.errors import BadKernel
from simulator.expressions import made


def test_an_array_has_the_type_and_shape_that_were_typed() -> None:
    x = parse(["x=bf16[128,2048]"], 0)["x"]
    assert x.dtype == ml_dtypes.bfloat16
    assert x.shape == (128, 2048)
    assert 0.9 < float(x.astype(np.float32).std()) < 1.1


def test_the_seed_and_the_name_decide_the_values() -> None:
    first = parse(["x=fp32[8]", "y=fp32[8]"], 0)
    assert np.array_equal(first["x"], parse(["x=fp32[8]"], 0)["x"])
    assert not np.array_equal(first["x"], first["y"])
    assert not np.array_equal(first["x"], parse(["x=fp32[8]"], 1)["x"])


def test_integers_stay_in_the_range_given_and_reach_both_ends() -> None:
    ids = parse(["ids=int32[4000] 3..7"], 0)["ids"]
    assert set(ids.tolist()) == {3, 4, 5, 6, 7}
    assert set(parse(["ids=uint32[400]"], 0)["ids"].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [("n=8", 8), ("eps=1e-6", 1e-6), ("flag=True", True), ("mode='fast'", "fast"), ("bias=None", None)],
)
def test_scalars_are_python_values(text: str, value: object) -> None:
    assert next(iter(parse([text], 0).values())) == value


def test_a_saved_bfloat16_array_comes_back_as_bfloat16(tmp_path: Path) -> None:
    saved = np.arange(8, dtype=np.float32).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", saved)
    assert parse([f"x=@{tmp_path / 'x.npy'}"], 0)["x"].dtype == ml_dtypes.bfloat16


def test_a_type_can_be_named_for_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(4, np.uint8))
    assert parse([f"x=@{tmp_path / 'x.npy'}:fp8_e4m3"], 0)["x"].dtype == ml_dtypes.float8_e4m3
    with pytest.raises(UnreadableInput, match="is not bfloat16"):
        parse([f"x=@{tmp_path / 'x.npy'}:bf16"], 0)


def test_the_same_argument_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse(["x=1", "x=2"], 0)


def test_code_is_not_run() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse(["x=__import__('os').getcwd()"], 0)


def test_the_hash_of_data_sees_values_types_shapes_and_names() -> None:
    x = np.zeros((2, 2), np.float32)
    hashes = {
        data_hash({"x": x}),
        data_hash({"y": x}),
        data_hash({"x": x.reshape(4)}),
        data_hash({"x": x.view(np.int32)}),
        data_hash({"x": x + 1}),
        data_hash({"x": 0.0}),
    }
    assert len(hashes) == 6


def test_names_of_the_kernels_file_stay_a_text_until_it_is_loaded() -> None:
    typed = parse(["act=ActFnType.SiLU", "cfg=Config(bs=1, sizes=[-1, 2], act=nl.silu)", "note='x'"], 0)
    assert repr(typed["act"]) == "ActFnType.SiLU"
    names = {"ActFnType": SimpleNamespace(SiLU=3), "Config": dict, "nl": SimpleNamespace(silu=4)}
    assert made(typed, names) == {"act": 3, "cfg": {"bs": 1, "sizes": [-1, 2], "act": 4}, "note": "x"}
    assert data_hash(typed) != data_hash(parse(["act=ActFnType.GELU"], 0))


def test_a_name_the_kernels_file_has_not_is_named() -> None:
    with pytest.raises(BadKernel, match="name 'Missing'"):
        made(parse(["act=Missing.SiLU"], 0), {})


@pytest.mark.parametrize("text", ["x=a if b else c", "x=[i for i in y]", "x=(lambda: 1)()", "x=a._b"])
def test_an_expression_is_names_calls_and_literals_alone(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse([text], 0)


def test_ranks_are_given_the_same_but_what_is_typed_by_rank() -> None:
    texts = ["x=fp32[8] by rank", "y=fp32[8]", "n=3"]
    first = parse(texts, 0)
    second, third = peers(texts, 0, 3)
    assert second["y"] is third["y"]
    assert np.array_equal(second["y"], first["y"])
    assert len({one["x"].tobytes() for one in (first, second, third)}) == 3
    assert third["n"] == 3


def test_each_rank_can_have_a_file_of_its_own(tmp_path: Path) -> None:
    for rank in range(2):
        np.save(tmp_path / f"part-{rank}.npy", np.full(2, rank))
    texts = [f"x=@{tmp_path}/part-{{rank}}.npy"]
    assert [given["x"].tolist() for given in (parse(texts, 0), *peers(texts, 0, 2))] == [[0, 0], [1, 1]]
