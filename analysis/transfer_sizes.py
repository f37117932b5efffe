"""What a launch moved by size of its descriptors, against what the hardware does well with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.machine_facts import MachineFacts


@dataclass(frozen=True, slots=True)
class Size:
    """What moved in descriptors of `low` bytes up to `high`.

    `peak` is the share of DMA's peak rate that descriptors of `low` bytes reach, by the machine's table; None
    for a machine no table describes.
    """

    low: int
    high: int
    bytes: int
    share: float
    transfers: int
    descriptors: int
    peak: float | None


def sizes(moved: Sequence[Mapping[str, Any]], machine: MachineFacts | None) -> tuple[Size, ...]:
    """The store's `transfer_sizes`, with each size's share of the bytes and of DMA's peak rate."""
    whole = sum(row["bytes"] for row in moved)
    return tuple(
        Size(
            2 ** row["power"],
            2 ** (row["power"] + 1),
            row["bytes"],
            row["bytes"] / whole,
            row["transfers"],
            row["descriptors"],
            machine.descriptor_efficiency(2 ** row["power"]) if machine else None,
        )
        for row in moved
    )
