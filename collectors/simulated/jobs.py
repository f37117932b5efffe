"""What a worker process does: simulate a launch and judge its result, or run one accuracy check.

Every job leaves one cache entry under its key. Only small values travel between processes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from collectors.arguments import data_hash
from collectors.simulated import cache, identity
from collectors.simulated.cache import Entry
from simulator.api import Simulation, idealised, simulate, simulate_ranks
from simulator.errors import BadKernel, KernelRefused, SimulatorError, UnknownName
from simulator.kernel_ref import KernelRef

Values = dict[str, Any]
UNEQUAL = 1.01
"""Ranks whose times differ by less are equal."""


class Job(Protocol):
    """Work with a content hash: the same key, the same entry. `schedules` where it needs a timeline."""

    schedules: ClassVar[bool]

    @property
    def key(self) -> str:
        """SHA-256 of everything the entry follows from."""

    @property
    def name(self) -> str:
        """What to call it while it runs."""

    def perform(self) -> Entry:
        """Do the work. Raises `SimulatorError`."""


@dataclass(frozen=True)
class LaunchJob:
    """Simulate a planned launch with the data of one seed, and judge its result against the reference."""

    schedules: ClassVar[bool] = True
    slot: str
    variant: str
    phase: str
    bucket: int | None
    module: str
    function: str
    make: Callable[[int], Values]
    seed: int
    target: str
    lnc: int

    @property
    def key(self) -> str:
        """Kernel and helpers, data, machine, simulator, references."""
        source = identity.source_hash(identity.module_file(self.module))
        kernel = (self.slot, self.variant, self.module, self.function)
        judged_by = identity.of_modules("kernels.checks")
        return identity.digest("launch", *kernel, source, self._data(), judged_by, *self._machine())

    def _data(self) -> str:
        """Identity of the arguments: what describes them and the source that makes them from it."""
        return identity.maker_hash(self.make, self.seed) + identity.of_modules("kernels.arguments")

    def _machine(self) -> tuple[object, ...]:
        return _machine(self.target, self.lnc)

    @property
    def name(self) -> str:
        """Slot and variant."""
        return f"{self.slot} {self.variant}, {self.phase}"

    def perform(self) -> Entry:
        """Simulate with values; the result is judged on the very shapes that are profiled."""
        from kernels import checks

        made = self.make(self.seed)
        result = simulate(
            KernelRef(self.function, module=self.module), made, target=self.target, lnc=self.lnc
        )
        where = " ".join(filter(None, (self.phase, f"bucket {self.bucket}" if self.bucket else "")))
        name = f"rank shapes, {where}, seed {self.seed}"
        case = checks.Case(name, self.slot, self.variant, self.function, self.module, lambda: made)
        verdict = checks.judge(case, made, result.trace.results)
        return _entry(result, f"{self.module}.{self.function}", self._data(), _verdict(verdict, name))


@dataclass(frozen=True)
class KernelJob:
    """Simulate one kernel of one file on given arguments, on further ranks with those of `peers`."""

    schedules: ClassVar[bool] = True
    file: str
    function: str
    arguments: Mapping[str, Any]
    target: str
    lnc: int
    paths: tuple[str, ...] = ()
    peers: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Kernel and helpers, data, machine, simulator."""
        source = identity.source_hash(Path(self.file), self.paths)
        data = self._data()
        return identity.digest("kernel", self.function, source, data, *_machine(self.target, self.lnc))

    @property
    def name(self) -> str:
        """The function."""
        return self.function

    def perform(self) -> Entry:
        """Simulate with values; of several ranks, the slowest. The file's prints go to the error stream."""
        reference = KernelRef(self.function, file=self.file, paths=self.paths)
        with contextlib.redirect_stdout(sys.stderr):
            ranks = simulate_ranks(reference, [self.arguments, *self.peers], target=self.target, lnc=self.lnc)
        slowest = max(ranks, key=lambda rank: rank.list_scheduled.duration_ns)
        slowest.trace.warnings += _unequal(ranks)
        return _entry(slowest, f"{Path(self.file).stem}.{self.function}", self._data(), None)

    def _data(self) -> str:
        return "+".join(data_hash(arguments) for arguments in (self.arguments, *self.peers))


def _unequal(ranks: Sequence[Simulation]) -> list[str]:
    """A sentence where ranks take different times: who waits for whom at a collective is not timed."""
    times = [rank.list_scheduled.duration_ns for rank in ranks]
    if max(times) <= UNEQUAL * min(times):
        return []
    return [
        f"{len(ranks)} ranks take {min(times) / 1e3:.1f} to {max(times) / 1e3:.1f} us by themselves; the "
        "slowest is shown, and what others wait for it at a collective is not timed"
    ]


@dataclass(frozen=True)
class CaseJob:
    """The small checks of one variant: ragged shapes, other seeds, awkward inputs."""

    schedules: ClassVar[bool] = False
    slot: str
    variant: str
    module: str
    target: str
    lnc: int

    @property
    def key(self) -> str:
        """Kernel and helpers, references and cases, simulator."""
        source = identity.source_hash(identity.module_file(self.module))
        judged_by = identity.of_modules("kernels.checks")
        kernel = (self.slot, self.variant)
        return identity.digest("cases", *kernel, source, judged_by, *_machine(self.target, self.lnc))

    @property
    def name(self) -> str:
        """Slot and variant."""
        return f"check of {self.slot} {self.variant}"

    def perform(self) -> Entry:
        """Judge case after case until one fails; the entry holds the worst verdict."""
        from kernels import checks

        listed = [case for case in checks.cases(self.slot, self.variant) if not case.name.startswith("rank")]
        verdicts = []
        for case in listed:
            verdicts.append(self._judged(case))
            if not verdicts[-1].passed:
                break
        worst = max(verdicts, key=lambda one: (not one.passed, one.error or 0.0))
        return Entry(None, verdict=_verdict(worst, f"{len(listed)} small cases"))

    def _judged(self, case: Any) -> Any:
        from kernels import checks

        made = case.make()
        try:
            results = _results(KernelRef(case.function, module=case.module), made, self.target, self.lnc)
        except SimulatorError as error:
            return checks.Verdict(False, None, 0.0, f"{case.name}: {error}")
        return checks.judge(case, made, results)


@dataclass(frozen=True)
class ModelJob:
    """A small Qwen3-MoE through the chosen kernels against transformers."""

    schedules: ClassVar[bool] = False
    kernels: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    target: str
    lnc: int

    @property
    def key(self) -> str:
        """Every chosen kernel, the references, the simulator."""
        sources = sorted(identity.source_hash(identity.module_file(module)) for module in self.modules)
        judged_by = identity.of_modules("kernels.small_model")
        return identity.digest("model", self.kernels, *sources, judged_by, *_machine(self.target, self.lnc))

    @property
    def name(self) -> str:
        """What it is."""
        return "small model against transformers"

    def perform(self) -> Entry:
        """Prefill and a few decode steps, logits compared as the challenge does."""
        from kernels import checks, small_model

        def run(kernel: Any, made: Values) -> tuple[Any, ...]:
            return _results(KernelRef(kernel.function, module=kernel.module), made, self.target, self.lnc)

        try:
            verdict = small_model.check_small_model(dict(self.kernels), run)
        except SimulatorError as error:
            verdict = checks.Verdict(False, None, 1.0, str(error))
        return Entry(None, verdict=_verdict(verdict, "small model against transformers"))


@dataclass(frozen=True, slots=True)
class Failure:
    """A simulator's error as plain values: exceptions with own arguments do not travel between processes."""

    kind: str
    message: str
    hint: str
    rule: str = ""
    file: str = ""
    line: int = 0

    @classmethod
    def of(cls, error: SimulatorError) -> Failure:
        """The error's values."""
        if isinstance(error, KernelRefused):
            return cls("KernelRefused", error.message, error.hint, error.rule, error.file, error.line)
        return cls(type(error).__name__, error.message, error.hint)

    def error(self) -> SimulatorError:
        """The error again."""
        if self.kind == "KernelRefused":
            return KernelRefused(self.message, self.hint, rule=self.rule, file=self.file, line=self.line)
        kinds: Mapping[str, type[SimulatorError]] = {"BadKernel": BadKernel, "UnknownName": UnknownName}
        return kinds.get(self.kind, SimulatorError)(self.message, self.hint)


def perform(job: Job, key: str) -> Failure | None:
    """Do a job and cache what it leaves; the error instead when the kernel is at fault."""
    try:
        entry = job.perform()
    except SimulatorError as error:
        return Failure.of(error)
    cache.write(key, entry)
    return None


def _machine(target: str, lnc: int) -> tuple[object, ...]:
    return target, lnc, identity.machine_tables(target), identity.simulator()


def _results(kernel: KernelRef, made: Values, target: str, lnc: int) -> tuple[Any, ...]:
    from simulator.nki.execute import execute

    return tuple(execute(kernel, made, target=target, lnc=lnc).results)


def _entry(result: Simulation, kernel: str, data: str, verdict: Mapping[str, Any] | None) -> Entry:
    from collectors.simulated.tables import profile_of

    files = result.trace.files
    ideal = {name: round(time_ns) for name, time_ns in idealised(result).items()}
    profile = replace(profile_of(result, _profile_id(result, kernel, data)), kernel=kernel, ideal_ns=ideal)
    return Entry(profile, files, verdict, tuple(result.trace.warnings))


def _profile_id(result: Simulation, kernel: str, data: str) -> str:
    """Hash of what the profile follows from: source, arguments, machine, simulator."""
    trace = result.trace
    texts = [identity.digest(text) for text in trace.files.values()]
    machine = identity.machine_tables(trace.target), identity.simulator()
    return identity.digest(kernel, *sorted(texts), data, trace.target, trace.lnc, *machine)


def _verdict(verdict: Any, name: str) -> Values:
    detail = verdict.detail if verdict.detail else name
    return {
        "passed": bool(verdict.passed),
        "error": None if verdict.error is None else float(verdict.error),
        "tolerance": float(verdict.tolerance),
        "detail": detail,
    }
