"""Is the file what it should be? Alone, allowed, and the same kernels as the source tree's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import qwen
from collectors.bundling.modules import BundleError
from collectors.simulated.identity import module_file
from kernels.arguments import arguments
from kernels.registry import Variant
from kernels.shapes import RANK, Situation
from simulator.api import Simulation, simulate
from simulator.kernel_ref import KernelRef

FORBIDDEN = re.compile(r"\bsubprocess\b|\b(?:eval|exec)\s*\(")
TOKENS = {"decode": 1, "prefill": 128}
LOAD = """
import sys
from simulator.kernel_ref import KernelRef
from simulator.loading import load
load(KernelRef(sys.argv[2], file=sys.argv[1]))
print(",".join(sorted(m for m in sys.modules if m.split(".")[0] in ("kernels", "qwen", "collectors"))))
"""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """One kernel from the source tree and from the file."""

    slot: str
    variant: str
    phase: str
    instructions: int
    tree_ns: float
    file_ns: float
    same: bool


def refuse_forbidden(text: str) -> None:
    """Raise `BundleError` at what the challenge's graders refuse."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = FORBIDDEN.search(line)
        if found:
            raise BundleError(
                f"line {number} of the file has {found[0]!r}, which the challenge refuses",
                "take it out of the kernels or the model",
            )


def loads_alone(path: Path, function: str) -> None:
    """Load a kernel of the file in a process of its own.

    Raises `BundleError` when that fails or needs the source tree.
    """
    command = [sys.executable, "-c", LOAD, str(path), function]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise BundleError(f"the file does not load: {told[-1]}", "run it with Python to see where")
    if done.stdout.strip():
        raise BundleError(f"the file imports {done.stdout.strip()}", "report this: a bundle stands alone")


def checked(path: Path, kernels: Iterable[tuple[Variant, str]], progress: Progress) -> list[Checked]:
    """Simulate every kernel from both places. Raises `BundleError` where they differ."""
    rows: list[Checked] = []
    pairs = list(kernels)
    for at, (kernel, phase) in enumerate(pairs):
        progress(at, len(pairs), f"{kernel.slot} {kernel.name}")
        rows.append(_compared(path, kernel, phase))
    different = [f"{row.slot} {row.variant}" for row in rows if not row.same]
    if different:
        raise BundleError(
            f"{', '.join(different)} differ from the source tree's kernels",
            "report this: they are the same text",
        )
    return rows


def _compared(path: Path, kernel: Variant, phase: str) -> Checked:
    tokens = TOKENS[phase]
    given = arguments(
        kernel, RANK, Situation(tokens, tokens, qwen.FIRST_BUCKET, qwen.FIRST_BUCKET - 1), seed=0
    )
    places = (KernelRef(kernel.function, module=kernel.module), KernelRef(kernel.function, file=str(path)))
    tree, file = (simulate(place, given, values=_loops(kernel)) for place in places)
    same = _calls(tree) == _calls(file) and _time(tree) == _time(file)
    count = sum(map(len, tree.trace.cores))
    return Checked(kernel.slot, kernel.name, phase, count, _time(tree), _time(file), same)


def _loops(kernel: Variant) -> bool:
    """Whether values decide how far a loop of the kernel runs; without them it would not run at all."""
    return "dynamic_range(" in module_file(kernel.module).read_text("utf-8")


def _time(found: Simulation) -> float:
    return found.list_scheduled.duration_ns


def _calls(found: Simulation) -> list[tuple[object, ...]]:
    return [(i.engine, i.call, i.elements, i.dtypes, i.reads, i.writes) for c in found.trace.cores for i in c]
