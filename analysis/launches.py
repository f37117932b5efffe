"""Launches of a run that were profiled, by name."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.records import Launch, Run


def profiled(run: Run) -> dict[str, Launch]:
    """The run's launches that have a profile, by "phase/slot/variant", most time first.

    Only where one variant runs in several buckets is the bucket part of the name.
    """
    found = [launch for launch in run.launches if launch.profile_id in run.profiles]
    found.sort(key=lambda launch: launch.count * launch.time_ns, reverse=True)
    named: dict[str, Launch] = {}
    for launch in found:
        name = f"{launch.phase}/{launch.slot}/{launch.variant}"
        named[f"{name}/{launch.bucket}" if name in named else name] = launch
    return named


def like(asked: str, named: Mapping[str, Launch]) -> str | None:
    """The launch of that name, else one that fills the same slot of the same phase in another way."""
    if asked in named:
        return asked
    phase, _, rest = asked.partition("/")
    slot = rest.partition("/")[0]
    fits = (name for name, launch in named.items() if launch.phase == phase and slot in launch.covers)
    return next(fits, None)
