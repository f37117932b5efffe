"""What the hardware refuses by its documentation, each with rule and line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulator.errors import KernelRefused
from simulator.nki import isa
from simulator.nki import language as nl
from simulator.nki.execute import execute


def tile(partitions: int = 128, free: int = 64, dtype: Any = nl.float32, buffer: Any = nl.sbuf) -> Any:
    return nl.zeros((partitions, free), dtype=dtype, buffer=buffer)


def sent(free: int, dtype: Any) -> None:
    other = 1 - nl.program_id()
    isa.sendrecv(tile(32, free, dtype), tile(32, free, dtype), other, other, 0, isa.dma_engine.gpsimd_dma)


def multiplied(position: tuple[int, ...], size: tuple[int, ...], rows: int = 32) -> None:
    out = nl.ndarray((64, 64), dtype=nl.float32, buffer=nl.psum)
    isa.nc_matmul(out, tile(rows), tile(rows), tile_position=position, tile_size=size)


def squared_rows() -> None:
    double = nl.zeros((128, 2, 64), dtype=nl.float8_e4m3)
    out = nl.ndarray((64, 64), dtype=nl.float32, buffer=nl.psum)
    mode = isa.matmul_perf_mode.double_row
    isa.nc_matmul(out, double, double, tile_position=(0, 0), tile_size=(128, 64), perf_mode=mode)


REFUSED: tuple[tuple[str, Callable[[], object], str], ...] = (
    ("gpsimd-dma-size", lambda: sent(257, nl.float32), "trn3"),
    ("gpsimd-dma-size", lambda: sent(257, nl.uint8), "trn3"),
    ("tile-position", lambda: multiplied((0, 0), (16, 64)), "trn3"),
    ("tile-position", lambda: multiplied((16, 0), (32, 64)), "trn3"),
    ("tile-position", lambda: multiplied((0, 0), (32, 64), rows=64), "trn3"),
    ("tile-position", lambda: multiplied((), (32, 64)), "trn3"),
    ("double-row", squared_rows, "trn3"),
    ("generation", lambda: isa.exponential(tile(), tile()), "trn2"),
    ("assignment", lambda: tile().__setitem__(0, 1.0), "trn3"),
    ("partition-view", lambda: tile().reshape((64, 128)), "trn3"),
    ("partition-view", lambda: tile().permute((1, 0)), "trn3"),
    ("partition-view", lambda: tile().expand_dim(0), "trn3"),
    ("partition-view", lambda: tile(1).squeeze_dim(0), "trn3"),
    ("partition-view", lambda: tile().reshape_dim(0, (2, 64)), "trn3"),
    ("partition-view", lambda: tile().flatten_dims(0, 1), "trn3"),
)


@pytest.mark.parametrize(("rule", "kernel", "target"), REFUSED)
def test_what_the_documentation_rules_out_is_refused(
    rule: str, kernel: Callable[[], object], target: str
) -> None:
    with pytest.raises(KernelRefused) as caught:
        execute(lambda: kernel() and None, {}, target=target, lnc=2)
    assert (caught.value.rule, caught.value.line > 0) == (rule, True)


def test_what_lies_just_within_the_rules_runs() -> None:
    def kernel() -> None:
        sent(256, nl.float32)
        multiplied((96, 64), (32, 64))
        tile().reshape((128, 8, 8)).permute((0, 2, 1))
        nl.ndarray((4, 64), dtype=nl.float32, buffer=nl.shared_hbm).reshape((64, 4))

    execute(kernel, {}, target="trn3", lnc=2)


def test_sizes_of_sbuf_are_those_of_the_target() -> None:
    def kernel() -> None:
        size = nl.tile_size
        assert size.sbuf_fmax * 4 == size.sbuf_fmax_bytes
        assert size.sbuf_size_bytes == 32 * 1024 * 1024 > 128 * size.sbuf_fmax_bytes

    execute(kernel, {}, target="trn3", lnc=1)
