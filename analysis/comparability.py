"""What makes two runs not alike, before any number of theirs is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from collectors.records import Run

Severity = Literal["blocks", "warns", "info"]
_ORDER: dict[Severity, int] = {"blocks": 0, "warns": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Unlikeness:
    """One thing that differs: "blocks" allows no verdict, "warns" may explain a move, "info" neither."""

    name: str
    base: Any
    candidate: Any
    severity: Severity
    sentence: str


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A kernel file whose text differs; a hash is None where that run has no such file."""

    file: str
    base: str | None
    candidate: str | None


# Fields of a run that define the workload, and what it means when they differ.
_FIELDS: tuple[tuple[str, Severity, str], ...] = (
    (
        "provenance",
        "blocks",
        "the base was {a}, the candidate {b}: their difference holds the simulator's error too",
    ),
    ("target", "blocks", "different machines: {a} and {b}"),
    ("prompt", "blocks", "different prompts: {a} and {b}"),
    ("prompt_tokens", "blocks", "different prompt lengths: {a} and {b} tokens"),
    ("new_tokens", "blocks", "different numbers of new tokens: {a} and {b}"),
    ("seq_len", "blocks", "different sequence lengths: {a} and {b}"),
    ("batch", "blocks", "different batch sizes: {a} and {b}"),
    ("lnc", "warns", "cores per logical core differ: {a} and {b}"),
    ("backend", "warns", "different backends: {a} and {b}"),
    ("base_latency_ms", "warns", "points are against different official latencies: {a} and {b} ms"),
    ("base_tokens_per_s", "warns", "points are against different official throughputs: {a} and {b} tokens/s"),
)

# Words in the dotted name of an environment or configuration key. A kernel's arguments are its workload; a
# version of anything below the kernels may move a number; what only names the run or repeats its fields is
# left out.
_KEY_WORDS: tuple[tuple[Severity, tuple[str, ...]], ...] = (
    ("blocks", ("arguments",)),
    ("warns", ("neuron", "nki", "simulator", "machine_table", "profiler", "driver", "runtime", "tools")),
    ("warns", ("instance_type", "compiler", "seed")),
)
_UNREMARKABLE = frozenset(
    {
        *(
            "source_files",
            "kernels",
            "kernel",
            "label",
            "session",
            "argv",
            "command",
            "git",
            "time",
            "pid",
            "cwd",
        ),
        *("phase_seconds", "wall_s", "outputs", "compiled_model", "contest_dir", "interpreter"),
        *("nki_flops_share", "nki_macs", "total_macs", "needed_macs"),
        *("score", "events", "system", "imported"),
        *(name for name, _, _ in _FIELDS),
    }
)


def unlikenesses(base: Run, candidate: Run) -> tuple[Unlikeness, ...]:
    """Everything that differs between two runs but the kernels under test, gravest first."""
    found = [*_fields(base, candidate), *_accuracy(base, candidate), *_tools(base, candidate)]
    found += _mappings("configuration", base, candidate)
    if base.backend == candidate.backend:
        # Between a device and the simulator every tool differs, which their provenance says already.
        found += _mappings("environment", base, candidate)
    found += [*_git(base, candidate), *_warnings(base, candidate)]
    return tuple(sorted(found, key=lambda each: _ORDER[each.severity]))


def shares_simulator(base: Run, candidate: Run) -> bool:
    """Whether both runs come from one simulator with one set of machine tables, so that they err together."""
    if not base.provenance == candidate.provenance == "simulated" or base.target != candidate.target:
        return False
    return _simulators(base) == _simulators(candidate)


def source_changes(base: Run, candidate: Run) -> tuple[SourceChange, ...]:
    """Kernel files whose text differs between the runs, by name."""
    before, after = (_source_files(run) for run in (base, candidate))
    names = sorted(before.keys() | after.keys())
    changes = (SourceChange(name, before.get(name), after.get(name)) for name in names)
    return tuple(change for change in changes if change.base != change.candidate)


def _fields(base: Run, candidate: Run) -> Iterator[Unlikeness]:
    for name, severity, sentence in _FIELDS:
        a, b = getattr(base, name), getattr(candidate, name)
        if a != b:
            yield Unlikeness(name, a, b, severity, sentence.format(a=_shown(a), b=_shown(b)))


def _accuracy(base: Run, candidate: Run) -> Iterator[Unlikeness]:
    a, b = base.accuracy, candidate.accuracy
    if b == 0:
        yield Unlikeness(
            "accuracy", a, b, "blocks", "the candidate's kernels fail accuracy: its speed counts for nothing"
        )
    elif a == 0:
        yield Unlikeness(
            "accuracy", a, b, "warns", "the base's kernels fail accuracy, the candidate's do not"
        )
    elif a != b:
        side = "base" if a is None else "candidate"
        yield Unlikeness("accuracy", a, b, "warns", f"accuracy of the {side} was not checked")
    elif a is None:
        yield Unlikeness("accuracy", a, b, "info", "accuracy was not checked in either run")


def _tools(base: Run, candidate: Run) -> Iterator[Unlikeness]:
    a, b = _simulators(base), _simulators(candidate)
    if a and b and a != b:
        told = " and ".join(
            ", ".join(sorted(f"{tool} {version}" for tool, version in side)) for side in (a, b)
        )
        yield Unlikeness(
            "tool_version", sorted(a), sorted(b), "warns", f"profiled by different tools: {told}"
        )


def _mappings(where: str, base: Run, candidate: Run) -> Iterator[Unlikeness]:
    before, after = (dict(_flat(getattr(run, where))) for run in (base, candidate))
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        if a != b and not any(step in _UNREMARKABLE or step.startswith("git_") for step in key.split(".")):
            yield Unlikeness(f"{where}.{key}", a, b, _gravity(key), f"{key}: {_shown(a)} and {_shown(b)}")


def _gravity(key: str) -> Severity:
    name = key.lower().replace("-", "_")
    return next((severity for severity, words in _KEY_WORDS if any(word in name for word in words)), "info")


def _git(base: Run, candidate: Run) -> Iterator[Unlikeness]:
    dirty = [side for side, run in (("base", base), ("candidate", candidate)) if git_of(run).get("dirty")]
    if dirty:
        sides = " and the ".join(dirty)
        sentence = (
            f"the {sides} ran from a work tree with uncommitted changes: the commit does not name the code"
        )
        yield Unlikeness("git.dirty", "base" in dirty, "candidate" in dirty, "warns", sentence)
    a, b = (git_of(run).get("commit") for run in (base, candidate))
    if a != b:
        yield Unlikeness("git.commit", a, b, "info", f"commits {_shown(a)[:12]} and {_shown(b)[:12]}")


def git_of(run: Run) -> dict[str, Any]:
    """The run's `commit` and `dirty`, from `environment["git"]` or `git_commit` and `git_dirty`."""
    nested = run.environment.get("git")
    if isinstance(nested, Mapping):
        return dict(nested)
    return {key: run.environment.get(f"git_{key}") for key in ("commit", "dirty")}


def _warnings(base: Run, candidate: Run) -> Iterator[Unlikeness]:
    for side, run in (("base", base), ("candidate", candidate)):
        if run.warnings:
            a, b = len(base.warnings), len(candidate.warnings)
            sentence = f"the {side} carries {len(run.warnings)} warning(s): {run.warnings[0]}"
            yield Unlikeness(f"warnings.{side}", a, b, "info", sentence)


def _simulators(run: Run) -> frozenset[tuple[str, str]]:
    tools = {(p.tool, p.tool_version) for p in run.profiles.values() if p.provenance != "estimated"}
    tables = run.environment.get("machine_tables") or run.environment.get("machine_table_hash")
    return frozenset(tools | ({("machine tables", str(tables))} if tables else set()))


def _source_files(run: Run) -> dict[str, str]:
    files = run.configuration.get("source_files", {})
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, Mapping) else {}


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "unknown" if value is None else str(value)
