"""Environment variables: which would be ignored, which contradict what a pass is about to do."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors.device.versions import table

INSPECT = "NEURON_RT_INSPECT_"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A variable that will not do what its owner expects, why, and what to do."""

    name: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """Applies when `name` is set to one of `values` (any when empty) and, if given, `without` is not set."""

    name: str
    why: str
    mend: str
    values: tuple[str, ...] = ()
    without: str = ""


RULES = (
    _Rule(
        "NKI_SIMULATOR",
        "kernels would run on the CPU simulator of NKI, without timing",
        "unset NKI_SIMULATOR",
        values=("1", "true", "True"),
    ),
    _Rule(
        "NEURON_RT_INSPECT_DEVICE_PROFILE",
        "has no effect without NEURON_RT_INSPECT_ENABLE=1",
        "export NEURON_RT_INSPECT_ENABLE=1, or leave both to collectors",
        without="NEURON_RT_INSPECT_ENABLE",
    ),
    _Rule(
        "NEURON_RT_VISIBLE_CORES",
        "hides cores from the run; tensor parallelism of 4 needs four logical cores",
        "unset NEURON_RT_VISIBLE_CORES",
    ),
    _Rule(
        "NEURON_RT_NUM_CORES",
        "limits the run to this many cores; tensor parallelism of 4 needs four logical cores",
        "unset NEURON_RT_NUM_CORES, or set it to 4",
        values=("0", "1", "2", "3"),
    ),
    _Rule(
        "NEURON_CC_FLAGS",
        "changes how every graph is compiled; two runs compare only with the same flags",
        "unset NEURON_CC_FLAGS, or keep it the same for baseline and candidate",
    ),
)


def ignored(
    environ: Mapping[str, str],
    initial: Mapping[str, str] | None = None,
    imported: Iterable[str] | None = None,
) -> tuple[Misfit, ...]:
    """Inspect and debug variables set in this process after a Neuron library was imported: silent no-ops.

    `initial` is the environment the process began with (read from /proc by default), `imported` its modules.
    """
    modules = set(sys.modules if imported is None else imported)
    late_after = next((name for name in table()["environment"]["importers"] if name in modules), None)
    if late_after is None:
        return ()
    began = initial_environment() if initial is None else initial
    names = sorted(name for name in environ if _timed(name) and environ[name] != began.get(name))
    why = f"was set after {late_after} was imported, so the runtime never saw it"
    return tuple(Misfit(name, why, "set it before Python starts") for name in names)


def contradicting(environ: Mapping[str, str], target: str | None) -> tuple[Misfit, ...]:
    """Variables of the shell that would change, or be changed by, a run on `target`."""
    found = [Misfit(rule.name, rule.why, rule.mend) for rule in RULES if _applies(rule, environ)]
    override = environ.get("NEURON_PLATFORM_TARGET_OVERRIDE")
    if override and target and override != target:
        why = f"is {override}, but this machine is {target}: kernels would be compiled for another chip"
        found.append(Misfit("NEURON_PLATFORM_TARGET_OVERRIDE", why, "unset NEURON_PLATFORM_TARGET_OVERRIDE"))
    return tuple(found)


def initial_environment() -> Mapping[str, str]:
    """The environment this process was started with; empty where /proc does not tell."""
    block = Path("/proc/self/environ")
    if not block.exists():
        return {}
    pairs = (entry.partition("=") for entry in block.read_bytes().decode(errors="replace").split("\0"))
    return {name: value for name, separator, value in pairs if separator}


def _timed(name: str) -> bool:
    rows = table()["environment"]
    return name.startswith(INSPECT) or name in rows["before_compile"] or name in rows["before_import"]


def _applies(rule: _Rule, environ: Mapping[str, str]) -> bool:
    value = environ.get(rule.name)
    wanted = value is not None and (not rule.values or value in rule.values)
    return wanted and not (rule.without and environ.get(rule.without, "0") not in ("", "0"))
