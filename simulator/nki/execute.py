"""Run a kernel on this machine: its results on NumPy and its trace."""

from __future__ import annotations

import contextlib
import linecache
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from simulator.errors import BadKernel, KernelRefused, SimulatorError
from simulator.expressions import made as made_of_names
from simulator.kernel_ref import KernelRef
from simulator.nki.capacity import check_capacity
from simulator.nki.misused import misuse, place
from simulator.nki.ranks import Ranks
from simulator.nki.returned import returned
from simulator.nki.steered import steering_inputs
from simulator.nki.storage import given
from simulator.nki.tensor import whole
from simulator.nki.tracer import Launch, Program, set_current, unwritten_warnings
from simulator.pause import collector_paused
from simulator.trace import FIRST_DIALECT, Trace


def execute(
    kernel: KernelRef | Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    target: str,
    lnc: int,
    values: bool = True,
    record: bool = True,
) -> Trace:
    """Execute `kernel` on arguments by name (NumPy arrays become HBM tensors) and return its trace.

    With `values=False` arithmetic is skipped except on integers, which may steer addresses; with
    `record=False` no instruction is kept. What the kernel prints goes to standard error. Raises
    `KernelRefused`, `UnknownName` or `BadKernel`.
    """
    return execute_ranks(kernel, [arguments], target=target, lnc=lnc, values=values, record=record)[0]


def execute_ranks(
    kernel: KernelRef | Callable[..., Any],
    arguments: Sequence[Mapping[str, Any]],
    *,
    target: str,
    lnc: int,
    values: bool = True,
    record: bool = True,
) -> list[Trace]:
    """`execute` on as many ranks as there are arguments; they meet at the kernel's collectives."""
    from simulator.dialect import nki_modules
    from simulator.loading import load

    if lnc not in (1, 2):
        raise BadKernel(f"a launch on {lnc} cores", "use lnc 1 or 2")
    made = load(kernel) if isinstance(kernel, KernelRef) else kernel
    function = getattr(made, "func", made)
    ranks = Ranks(len(arguments))
    launches = [Launch(target, lnc, values=values, record=record) for _ in arguments]
    with nki_modules(forget=False), contextlib.redirect_stdout(sys.stderr), collector_paused():
        runs = []
        for rank, (launch, given_to) in enumerate(zip(launches, arguments, strict=True)):
            launch.rank, launch.ranks = rank, ranks
            bound = {name: _bound(launch, name, value) for name, value in given_to.items()}
            bound = made_of_names(bound, getattr(function, "__globals__", {}))
            runs.append(partial(_run, launch, function, bound))
        outcomes = ranks.run_all(runs)
    return [_checked(launch, function, outcome) for launch, outcome in zip(launches, outcomes, strict=True)]


def _checked(launch: Launch, function: Callable[..., Any], outcomes: list[Any]) -> Trace:
    trace = _trace(launch, function, outcomes)
    trace.dialect, trace.as_written = launch.dialect, launch.as_written
    if launch.record:
        check_capacity(trace, may_spill=trace.dialect == FIRST_DIALECT and not trace.as_written)
    return trace


def _bound(launch: Launch, name: str, value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    storage = given(np.ascontiguousarray(value), "hbm", name, core=None)
    storage.role = "input"
    launch.add_storage(storage)
    return whole(storage, "shared_hbm")


def _run(launch: Launch, function: Callable[..., Any], bound: dict[str, Any]) -> list[Any]:
    """What each core returns, after every core ended. The second has a thread only where the first waits."""
    results: list[Any] = [None] * launch.lnc
    handover = launch.handover
    second = partial(_run_core, launch, 1, function, bound, results)
    handover.second = threading.Thread(target=second, daemon=True)
    _run_core(launch, 0, function, bound, results)
    if handover.second.ident is not None:
        handover.second.join()
    elif launch.lnc == 2:
        second()
    handover.second = None  # it holds the launch, which is to go as soon as nothing needs it
    if handover.failed is not None:
        raise handover.failed
    return results


def _run_core(
    launch: Launch, core: int, function: Callable[..., Any], bound: dict[str, Any], results: list[Any]
) -> None:
    handover = launch.handover
    set_current(Program(launch, core))
    try:
        with handover.condition:
            handover.condition.wait_for(lambda: handover.turn == core or handover.failed is not None)
        if handover.failed is None:
            results[core] = function(**bound)
    except BaseException as error:
        if handover.failed is None:
            handover.failed = _explained(error, function)
    finally:
        set_current(None)
        with handover.condition:
            handover.done[core] = True
            handover.turn = 1 - core
            handover.condition.notify_all()


def _explained(error: BaseException, function: Callable[..., Any]) -> BaseException:
    """The error as its reader needs it: our own with the kernel's file and line, Python's as a bad kernel."""
    file, line = place(error)
    if isinstance(error, KernelRefused):
        error.file, error.line = error.file or file, error.line or line
        return error
    if isinstance(error, SimulatorError) or not isinstance(error, Exception):
        return error
    refused: SimulatorError | None = misuse(error)
    if refused is None:
        refused = _bad(error, getattr(function, "__name__", "the kernel"), f"{file}:{line}: " if file else "")
    refused.__cause__ = error
    return refused


def _bad(error: Exception, name: str, where: str) -> BadKernel:
    told = str(error) or "no message"
    if isinstance(error, TypeError) and name in told and "argument" in told:
        return BadKernel(f"{told}", "give every parameter of the kernel with --arg")
    return BadKernel(
        f"{where}{type(error).__name__}: {told}", "mend the kernel, or give arguments it accepts"
    )


def _trace(launch: Launch, function: Callable[..., Any], outcomes: list[Any]) -> Trace:
    outputs, warnings = returned(launch, outcomes)
    names = dict.fromkeys([source.file for source in launch.sources])
    files = {name: "".join(linecache.getlines(name)) for name in names}
    return Trace(
        getattr(function, "__name__", "kernel"),
        launch.target,
        launch.lnc,
        launch.cores,
        launch.tensors,
        launch.sources,
        files,
        tuple(tensor.array for tensor in outputs),
        tuple(tensor.storage.id for tensor in outputs),
        data_dependent=steering_inputs(launch.cores, launch.tensors),
        warnings=[*unwritten_warnings(launch), *warnings],
    )
