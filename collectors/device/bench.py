"""Latency percentiles of a kernel on the device, where `nki.benchmark` no longer exists (NKI 0.2 and later).

Device time only. nrtpy times every execution when a Python with it is named in NKI_DASHBOARD_NRTPY_PYTHON;
else every execution is profiled and its time read from the profiler's summary, which is slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from collectors.device.children import Report, run_child, silent
from collectors.device.environment import base_environment
from collectors.device.failures import phase_failed
from collectors.device.host import Host, Tool
from collectors.device.job import SOURCE_ROOT
from collectors.device.kernel import Compiled, compile_kernel
from collectors.device.settings import Settings, settings_from
from collectors.device.tools import Value, run, summary
from collectors.errors import UsageError
from collectors.request import KernelRequest

PROGRAM = "collectors.device.bench_program"
NRTPY_PYTHON = "NKI_DASHBOARD_NRTPY_PYTHON"
QUANTILES = (0.50, 0.90, 0.99)
RESAMPLES = 2000
CONFIDENCE = 0.95
Clock = Literal["nrtpy", "profiler"]


@dataclass(frozen=True, slots=True)
class Percentile:
    """A latency percentile in nanoseconds with its 95 % interval; None where too few samples bound it."""

    quantile: float
    value_ns: float
    low_ns: float | None
    high_ns: float | None


@dataclass(frozen=True, slots=True)
class Bench:
    """Every sample of a benchmark and its percentiles; `clock` and `basis` say what measured them."""

    kernel: str
    clock: Clock
    basis: str
    warmup: int
    samples_ns: tuple[float, ...]
    percentiles: tuple[Percentile, ...]


def bench(
    request: KernelRequest,
    warmup: int = 10,
    repeat: int = 100,
    *,
    settings: Settings | None = None,
    report: Report = silent,
    host: Host | None = None,
) -> Bench:
    """Time a kernel `repeat` times after `warmup` executions. Raises `DeviceError` and `UsageError`."""
    if repeat < 1 or warmup < 0:
        raise UsageError(
            f"{repeat} repetitions after {warmup} to warm up cannot be timed.", "Use --repeat 1 or more."
        )
    machine = host or Host()
    chosen = settings or settings_from(machine.environ)
    compiled = compile_kernel(request, machine, chosen, report)
    python = machine.environ.get(NRTPY_PYTHON)
    report("bench", f"{repeat} executions")
    if python:
        values = _with_nrtpy(compiled, request, python, machine, (warmup, repeat), report)
        measured: tuple[Clock, str] = ("nrtpy", "device-side tracing of every execution")
    else:
        values, field = _with_profiler(compiled, machine.tool(), warmup, repeat, report)
        measured = ("profiler", f"{field} of every profiled execution")
    return Bench(request.function, *measured, warmup, tuple(values), percentiles(values))


def percentiles(values: Sequence[float], quantiles: Sequence[float] = QUANTILES) -> tuple[Percentile, ...]:
    """Percentiles with bootstrap intervals (SciPy, percentile method, 2000 resamples, fixed seed).

    A quantile q needs more than 1 / (1 - q) samples before resampling can bound it from above; with fewer, or
    with one sample, it has no interval.
    """
    data = np.asarray(values, dtype=np.float64)
    return tuple(_percentile(data, quantile) for quantile in quantiles)


def _percentile(data: np.ndarray[Any, Any], quantile: float) -> Percentile:
    value = float(np.quantile(data, quantile))
    if data.size < 2 or data.size * (1 - quantile) < 1:
        return Percentile(quantile, value, None, None)
    from scipy import stats

    interval = stats.bootstrap(
        (data,),
        lambda sample, axis: np.quantile(sample, quantile, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Percentile(quantile, value, float(interval.low), float(interval.high))


def _with_nrtpy(
    compiled: Compiled,
    request: KernelRequest,
    python: str,
    host: Host,
    counts: tuple[int, int],
    report: Report,
) -> list[float]:
    warmup, repeat = counts
    spec = {
        "neff": str(compiled.neff),
        "arguments": compiled.arguments,
        "warmup": warmup,
        "repeat": repeat,
    }
    environ = base_environment(host.environ, target=request.target, work=compiled.folder, source=SOURCE_ROOT)
    heard = run_child(
        PROGRAM, [], spec, python=python, environ=environ, folder=compiled.folder, report=report
    )
    return [value for event in heard.samples for value in event["values"]]


def _with_profiler(
    compiled: Compiled, tool: Tool, warmup: int, repeat: int, report: Report
) -> tuple[list[float], str]:
    """Nanoseconds of every execution from its own summary, and the summary field they come from."""
    session = compiled.folder / "bench.ntff"
    executions = warmup + repeat
    log = compiled.folder / "bench.capture.log"
    pairs = [word for name, path in compiled.inputs.items() for word in (name, str(path))]
    values: dict[str, Value] = {
        "neff": compiled.neff,
        "session_file": session,
        "executions": executions,
        "profile_nth": 1,
    }
    run(tool, "capture", values, log=log, positional=pairs, timeout_s=3600.0)
    times: list[float] = []
    field = ""
    for execution in range(warmup + 1, executions + 1):
        ntff = session if execution == 1 else session.with_name(f"bench_exec_{execution}.ntff")
        record = summary(tool, compiled.neff, ntff, compiled.folder / "bench.summary.log")
        nanoseconds, field = _execution_ns(record, compiled.folder / "bench.summary.log")
        times.append(nanoseconds)
        report("bench", f"{execution - warmup}/{repeat}")
    return times, field


def _execution_ns(record: Any, log: Path) -> tuple[float, str]:
    """One execution and its field: `total_exec_time` (newer tools), else `total_time` with its envelope."""
    fields = next(iter(record.values()))
    name = next((name for name in ("total_exec_time", "total_time") if fields.get(name)), None)
    if name is None:
        raise phase_failed("bench", log, "The summary says no execution time.")
    return float(fields[name]) * 1e9, name
