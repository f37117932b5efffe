"""The fitted constants derived again from a folder of profiles and a table of measured rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from analysis.reach import Reach
from collectors.errors import UnreadableInput
from collectors.simulated.calibration import Case
from simulator.fidelity.fit.constants import Without
from simulator.fidelity.fit.evidence import Evidence, Printed, Stream, stream_of
from simulator.fidelity.fit.refit import Derived
from simulator.machine.facts import machine

TARGET = "trn2"
"""The only target with public streams."""


def evidence(profiles: Path, cases: Iterable[Case]) -> Evidence:
    """What the constants are derived from. Raises `UnreadableInput`."""
    files = sorted(profiles.glob("*.json"))
    if not files:
        raise UnreadableInput(
            f"{profiles} has no JSON profiles", "give a folder of `neuron-profile view --output-format json`"
        )
    printed = tuple(
        Printed(c.family, c.name, c.problem, c.method, c.measured_ns, c.active, c.packets) for c in cases
    )
    return Evidence(machine(TARGET), tuple(_stream(path) for path in files), printed)


def _stream(path: Path) -> Stream:
    try:
        return stream_of(path.stem, json.loads(path.read_text("utf-8")), target=TARGET)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UnreadableInput(
            f"{path} is not a whole JSON profile: {type(error).__name__}: {error}",
            "give a folder of `neuron-profile view --output-format json` (2.27, 2.28)",
        ) from None


def intervals(reaches: Sequence[Reach]) -> list[Derived]:
    """The half-widths of intervals as the predictions at hand give them, beside the table's."""
    constants = machine(TARGET).constants
    return [
        Derived(
            f"interval.{reach.bound}",
            "share",
            constants[f"interval.{reach.bound}"].value,
            reach.share,
            "conformal",
            reach.count,
            reach.share,
            reach.share,
            "every family",
            "what holds a further kernel nine times in ten"
            + (", of every kind: there are too few of this one" if reach.pooled else ""),
            Without(reach.share, "fitted", ""),
        )
        for reach in reaches
    ]
