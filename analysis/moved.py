"""What moved on the timeline between two executions of a kernel: engines, waiting, transfers, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.columns import Tables
from analysis.stalls import EngineTime, stalls
from collectors.records import Profile

KINDS = {
    "working_ns": "works",
    "waiting_data_ns": "waits for data",
    "waiting_engine_ns": "waits for other engines",
    "issuing_ns": "issues",
}
FACTS: tuple[tuple[str, str, float, str], ...] = (
    ("dma_transfers", "transfers", 1, ""),
    ("dma_descriptors", "descriptors", 1, ""),
    ("dma_bytes", "moved by DMA", 1e6, " MB"),
    ("sbuf_peak_bytes", "of SBUF", 2**20, " MiB"),
)
DMA_ACTIVE_MOVED = 0.02  # below two points of its time, how busy the queues are says nothing


@dataclass(frozen=True, slots=True)
class Move:
    """Time of one kind on one engine before and after, in ns per core."""

    engine: str
    kind: str
    before_ns: float
    after_ns: float

    @property
    def moved_ns(self) -> float:
        """After less before."""
        return self.after_ns - self.before_ns

    @property
    def sentence(self) -> str:
        """For example "the tensor engine waits for data 31.2 → 22.1 µs"."""
        said = f"{_us(self.before_ns)} → {_us(self.after_ns)} µs"
        return f"the {self.engine} engine {KINDS[self.kind]} {said}"


def moves(before: Iterable[EngineTime], after: Iterable[EngineTime]) -> tuple[Move, ...]:
    """Every engine's time by kind in both, the largest move first; idle time is what the others leave."""
    a, b = _per_core(before), _per_core(after)
    found = [Move(*key, a.get(key, 0.0), b.get(key, 0.0)) for key in dict.fromkeys((*a, *b))]
    return tuple(sorted(found, key=lambda move: abs(move.moved_ns), reverse=True))


def why(before: Profile, after: Profile, tables: tuple[Tables, Tables]) -> str:
    """One or two sentences on what moved between two profiles, with values; empty where nothing did."""
    times = [stalls(profile.duration_ns, rows) for profile, rows in zip((before, after), tables, strict=True)]
    told = [
        ", ".join(_reasons(times[0], times[1], after.duration_ns < before.duration_ns)),
        _facts(before, after),
    ]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in told if text)


def _reasons(before: Iterable[EngineTime], after: Iterable[EngineTime], shorter: bool) -> list[str]:
    """The largest moves of the busiest engine, else of any, that went the way the whole did."""
    listed = tuple(before)
    along = [move for move in moves(listed, after) if move.moved_ns and (move.moved_ns < 0) == shorter]
    busiest = max(listed, key=lambda each: each.working_ns, default=None)
    own = [move for move in along if busiest and move.engine == busiest.engine]
    return [move.sentence for move in (own[:2] or along[:1])]


def _facts(before: Profile, after: Profile) -> str:
    """Transfers, descriptors, bytes, and how busy the queues are, where they differ."""
    told = []
    for name, what, unit, suffix in FACTS:
        a, b = getattr(before, name), getattr(after, name)
        if a is not None and b is not None and a != b:
            told.append(f"{_amount(a / unit)} → {_amount(b / unit)}{suffix} {what}")
    a, b = before.engines.get("dma"), after.engines.get("dma")
    if a is not None and b is not None and abs(b - a) >= DMA_ACTIVE_MOVED:
        told.append(f"DMA active {100 * a:.0f} → {100 * b:.0f} % of the time")
    return ", ".join(told)


def _per_core(times: Iterable[EngineTime]) -> dict[tuple[str, str], float]:
    listed = tuple(times)
    cores = len({each.core for each in listed}) or 1
    sums: dict[tuple[str, str], float] = {}
    for each in listed:
        for kind in KINDS:
            key = (each.engine, kind)
            sums[key] = sums.get(key, 0.0) + getattr(each, kind) / cores
    return sums


def _us(ns: float) -> str:
    return f"{ns / 1e3:.3g}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
