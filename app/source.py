"""Kernel source with a heat column: time and stalls by line beside the text, inert stretches folded."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import unified_diff
from itertools import pairwise
from pathlib import PurePath

from analysis.comparability import SourceChange
from analysis.lines import Line, Lines
from app import pieces, style, words
from collectors.records import Run

# Lines kept around one that costs something, and the shortest stretch that folds.
CONTEXT = 2
SHORTEST_FOLD = 5


def text_of(run: Run, file: str) -> str | None:
    """The stored text of a file as a profile names it: the whole path, else the longest common tail."""
    files = run.configuration.get("source_files", {})
    hashes = {str(name): str(digest) for name, digest in files.items()} if isinstance(files, Mapping) else {}
    tails = sorted((name for name in hashes if _same_file(name, file)), key=len, reverse=True)
    return run.sources.get(hashes[tails[0]]) if tails else None


def _same_file(a: str, b: str) -> bool:
    left, right = PurePath(a).parts, PurePath(b).parts
    common = min(len(left), len(right))
    return left[-common:] == right[-common:]


def files(found: Lines) -> list[str]:
    """The files of a profile's lines, the one with most time first."""
    shares: dict[str, float] = {}
    for line in found.lines:
        shares[line.file] = shares.get(line.file, 0.0) + line.share
    return sorted(shares, key=lambda file: shares[file], reverse=True)


def heat(found: Lines, file: str, text: str | None, duration_ns: int) -> str:
    """The file as an HTML table with a row a line."""
    by_line = {line.line: line for line in found.lines if line.file == file}
    code = (text or "").splitlines() or [""] * max(by_line, default=0)
    head = [
        ("line", ""),
        ("time", f"Working and issuing on the busiest resource ({found.critical}), of the launch"),
        ("stall", "What the busiest engine waited before the line's instructions, of the launch"),
        ("bytes", "Bytes of the line's DMA transfers"),
        ("instr.", "Instructions of the line on all engines and cores"),
        (file, ""),
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


def diff(change: SourceChange, base: Run, run: Run) -> str:
    """A unified diff of one kernel file from `base` to `run`."""
    before, after = (
        texts.get(digest or "", "").splitlines(keepends=True)
        for texts, digest in ((base.sources, change.base), (run.sources, change.candidate))
    )
    text = "".join(unified_diff(before, after, f"A/{change.file}", f"B/{change.file}"))
    return text or f"{change.file} differs, but its text was not kept."
