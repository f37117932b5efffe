"""`nki.jit` and its kin: a kernel of the first dialect, its launch grid, and which core runs what."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current
from simulator.nki_beta.result import flush
from simulator.nki_beta.state import State, state
from simulator.nki_beta.tile import Tensor, Value
from simulator.trace import FIRST_DIALECT


class Cores(int):
    """`nl.nc(n)`: a dimension of the grid over physical cores."""


nc = Cores


class GridDimension:
    """`nl.spmd_dim(a, b)`: one dimension of the grid made of two, the second running fastest."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes


spmd_dim = GridDimension


class Kernel:
    """A function decorated with `nki.jit`; `kernel[grid]` is the kernel on a grid of programs.

    One that is not `transformed` runs as it is written.
    """

    def __init__(
        self, kernel: Callable[..., Any], grid: Sequence[Any] = (), *, transformed: bool = True
    ) -> None:
        functools.update_wrapper(self, kernel)
        self.kernel = kernel
        self.transformed = transformed
        self.grid = tuple(g if isinstance(g, GridDimension) else GridDimension(g) for g in grid)
        self.func = functools.wraps(kernel)(lambda *arguments, **named: self(*arguments, **named))

    def __getitem__(self, grid: Any) -> Kernel:
        places = grid if isinstance(grid, tuple) else (grid,)
        return Kernel(self.kernel, places, transformed=self.transformed)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        launch = current().launch
        launch.dialect = FIRST_DIALECT
        launch.as_written |= not self.transformed
        outermost = not any(isinstance(x, Value) for x in (*arguments, *named.values()))
        given = [_value(x) for x in arguments]
        outcome = _programs(self, lambda: self.kernel(*given, **{k: _value(x) for k, x in named.items()}))
        flush()
        return _tensors(outcome) if outermost else outcome


def _value(x: Any) -> Any:
    return Tensor(x) if isinstance(x, NkiTensor) else x


def _tensors(outcome: Any) -> Any:
    """What a launch returns, as the machine's tensors."""
    if isinstance(outcome, tuple | list):
        return tuple(_tensors(x) for x in outcome)
    return outcome.read() if isinstance(outcome, Value) else outcome


def _programs(kernel: Kernel, run: Callable[[], Any]) -> Any:
    """Run the programs of the grid that belong to this core; the result is the first one's."""
    found, program = state(), current()
    if found.running and not kernel.grid:
        return run()
    if not kernel.grid and program.core and not program.launch.asks_core:
        return None
    before = State(grid=found.grid, place=found.place, running=found.running)
    found.running = True
    counts = dict(program.shared_count)
    found.grid = tuple(int(np.prod(d.sizes)) for d in kernel.grid)
    outcomes = []
    for place in _places(kernel.grid, program.core, program.launch.lnc) if kernel.grid else [()]:
        found.place = place
        program.shared_count = dict(counts)
        outcomes.append(run())
    found.grid, found.place, found.running = before.grid, before.place, before.running
    return outcomes[0] if outcomes else None


def _places(grid: Sequence[GridDimension], core: int, lnc: int) -> Iterator[tuple[int, ...]]:
    """Places of the grid on one core; without a dimension of cores all are on the first."""
    cores = [n for d in grid for n in d.sizes if isinstance(n, Cores)]
    if any(n > lnc for n in cores):
        raise refuse(
            "grid",
            f"a grid over {max(cores)} cores in a launch of {lnc}",
            f"launch it with --lnc {max(cores)}",
        )
    if not cores and core:
        return
    for parts in itertools.product(*(itertools.product(*map(range, d.sizes)) for d in grid)):
        mine = [
            at
            for d, p in zip(grid, parts, strict=True)
            for n, at in zip(d.sizes, p, strict=True)
            if isinstance(n, Cores)
        ]
        if all(at == core for at in mine):
            yield tuple(int(np.ravel_multi_index(p, d.sizes)) for d, p in zip(grid, parts, strict=True))
