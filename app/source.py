"""Kernel source with a heat column: time and stalls by line beside the text, inert stretches folded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from analysis.lines import Line, Lines
from analysis.source_files import short, text_of
from app import pieces, style, words
from collectors.records import Run

# Lines kept around one that costs something, and the shortest stretch that folds.
CONTEXT = 2
SHORTEST_FOLD = 5


def files(found: Lines) -> list[str]:
    """The files of a profile's lines, the one with most time first."""
    shares: dict[str, float] = {}
    for line in found.lines:
        shares[line.file] = shares.get(line.file, 0.0) + line.share
    return sorted(shares, key=lambda file: shares[file], reverse=True)


def heat(found: Lines, file: str, run: Run, duration_ns: int) -> str:
    """The file as an HTML table with a row a line."""
    by_line = {line.line: line for line in found.lines if line.file == file}
    code = (text_of(run, file) or "").splitlines() or [""] * max(by_line, default=0)
    head = [
        ("line", ""),
        ("time", f"Working and issuing on the busiest resource ({found.critical}), of the launch"),
        ("stall", "What the busiest engine waited before the line's instructions, of the launch"),
        ("bytes", "Bytes of the line's DMA transfers"),
        ("instr.", "Instructions of the line on all engines and cores"),
        (short(run, file), file),
    ]
    hottest = max((line.share for line in by_line.values()), default=0.0)
    shown = _shown(by_line, len(code))
    rows: list[list[str]] = []
    for at in range(1, len(code) + 1):
        if at in shown:
            rows.append(_row(at, code[at - 1], by_line.get(at), duration_ns, hottest))
        elif at - 1 in shown or at == 1:
            rows.append(["", "", "", "", "", pieces.soft(f"⋯ {_fold(at, shown, len(code))} lines")])
    return f'<div class="scroll">{pieces.table(head, rows, left=0, kind="code")}</div>'


def _row(at: int, code: str, line: Line | None, duration_ns: int, hottest: float) -> list[str]:
    if line is None:
        return [f'<span class="soft">{at}</span>', "", "", "", "", pieces.plain(code)]
    strength = line.share / hottest if hottest else 0.0
    tint = f"background:{style.faded(style.WORSE, round(0.5 * strength, 3))}"
    time, stall = (
        words.percent(ns / duration_ns if duration_ns else None) for ns in (line.critical_ns, line.stall_ns)
    )
    engines = ", ".join(f"{engine} {words.time(ns)}" for engine, ns in line.engines.items())
    return [
        f'<span class="soft">{at}</span>',
        f'<span class="heat" style="{tint}">{pieces.tip(time, engines)}</span>' if line.critical_ns else "",
        pieces.tip(stall, words.time(line.stall_ns)) if line.stall_ns else "",
        pieces.tip(
            words.size(line.dma_bytes), f"{line.transfers:,} transfers, {line.descriptors:,} descriptors"
        )
        if line.dma_bytes
        else "",
        f"{line.instructions:,}",
        pieces.plain(code),
    ]


def _shown(by_line: Mapping[int, Line], length: int) -> set[int]:
    """Lines to show: those that cost something, what is near them, and stretches too short to fold."""
    near = {at + step for at in by_line for step in range(-CONTEXT, CONTEXT + 1)}
    edges = [0, *sorted(at for at in near if 1 <= at <= length), length + 1]
    short = {
        at
        for a, b in pairwise(edges)
        if b - a <= SHORTEST_FOLD
        for at in range(max(a, 1), min(b, length) + 1)
    }
    return {at for at in near if 1 <= at <= length} | short


def _fold(at: int, shown: set[int], length: int) -> int:
    return next((end for end in range(at, length + 1) if end in shown), length + 1) - at
