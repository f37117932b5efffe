"""Two tables of `collectors kernel`: transfers by size of their descriptors, and the slot's variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.commands.screen import number, percent, table
from collectors.records import ENGINE_NAMES

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.transfer_sizes import Size
    from analysis.variants import Found

MIB = 2**20
SIZE_COLUMNS = ("bytes per descriptor", "bytes", "bytes %", "transfers", "descriptors", "of DMA peak %")
VARIANT_COLUMNS = (
    *("variant", "fills", "runs", "provenance", "us", "low–high"),
    *(f"{engine} %" for engine in ENGINE_NAMES),
    *("HBM read MiB", "descriptors", "SBUF MiB"),
)


def sizes_table(found: Sequence[Size]) -> Table | None:
    """Bytes by size of descriptor against what the hardware does well with."""
    if not found:
        return None
    rows = [
        [
            f"{each.low:,} to {each.high:,}",
            f"{each.bytes:,}",
            percent(each.share),
            f"{each.transfers:,}",
            f"{each.descriptors:,}",
            percent(each.peak),
        ]
        for each in found
    ]
    return table(SIZE_COLUMNS, rows)


def variants_table(found: Sequence[Found], shown: str) -> Table | None:
    """The fastest execution of each variant of the slot on this machine, fastest first, the shown marked."""
    if len(found) < 2:
        return None
    return table(VARIANT_COLUMNS, [_variant(each, shown) for each in found], left=4)


def _variant(each: Found, shown: str) -> list[str]:
    launch, profile = each.launch, each.profile
    known = launch.low_ns is not None and launch.high_ns is not None
    return [
        f"{launch.variant}{' (shown)' if profile.profile_id == shown else ''}",
        " + ".join(launch.covers),
        ", ".join(dict.fromkeys(each.labels)),
        profile.provenance,
        _in(1e3, launch.time_ns),
        f"{_in(1e3, launch.low_ns)}–{_in(1e3, launch.high_ns)}" if known else "—",
        *(percent(profile.engines.get(engine)) for engine in ENGINE_NAMES),
        _in(MIB, profile.hbm_read_bytes),
        "—" if profile.dma_descriptors is None else f"{profile.dma_descriptors:,}",
        _in(MIB, profile.sbuf_peak_bytes),
    ]


def _in(unit: float, value: float | None) -> str:
    return number(None if value is None else value / unit)
