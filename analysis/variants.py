"""The variants of a slot that any run has, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors.records import Launch, Profile, Run


@dataclass(frozen=True, slots=True)
class Found:
    """A launch with its profile and the labels of the runs that have it, newest first."""

    launch: Launch
    profile: Profile
    labels: tuple[str, ...]


def variants(runs: Iterable[Run], like: Launch, target: str) -> list[Found]:
    """Every distinct execution that fills the slot of `like` in its phase and bucket, fastest first."""
    found: dict[str, Found] = {}
    for run in runs:
        for launch in run.launches if run.target == target else ():
            profile = run.profiles.get(launch.profile_id or "")
            if profile is None or (launch.phase, launch.bucket) != (like.phase, like.bucket):
                continue
            if like.slot in launch.covers:
                before = found.get(profile.profile_id)
                labels = (*before.labels, run.label) if before else (run.label,)
                found[profile.profile_id] = Found(launch, profile, labels)
    return sorted(found.values(), key=lambda each: each.launch.time_ns)


def fastest(found: Sequence[Found], current: str) -> tuple[list[Found], list[Found]]:
    """The fastest execution of each variant with the one shown, and the others."""
    names: set[tuple[str, tuple[str, ...]]] = set()
    first: list[Found] = []
    others: list[Found] = []
    for each in found:
        name = (each.launch.variant, each.launch.covers)
        (others if name in names and each.profile.profile_id != current else first).append(each)
        names.add(name)
    return first, others
