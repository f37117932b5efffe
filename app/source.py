"""Kernel source with a heat column: time and stalls by line beside the text, inert stretches folded."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import unified_diff
from itertools import pairwise

from analysis.compare import Row
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


def kernels_diff(row: Row, base: Run, run: Run) -> str:
    """A unified diff from the base's kernel functions of a row to the candidate's; "" when alike."""
    sides = ((row.base, base), (row.candidate, run))
    names = [", ".join(side.kernels) if side else "nothing" for side, _ in sides]
    before, after = _texts(row, base, run)
    if (row.base and not before) or (row.candidate and not after):
        return ""
    return _unified(before, after, f"A: {names[0]}", f"B: {names[1]}")


def no_diff(row: Row, base: Run, run: Run) -> str:
    """Why a row has no difference of source: it is the same, or a run does not have it."""
    texts = zip("AB", (row.base, row.candidate), _texts(row, base, run), strict=True)
    lacking = [name for name, side, text in texts if side and not text]
    if not lacking:
        return "The source of these kernels is the same in both runs."
    return f"{' and '.join(lacking)} {'have' if lacking[1:] else 'has'} no source stored for this row."


def _texts(row: Row, base: Run, run: Run) -> tuple[str, str]:
    """The stored text of the row's kernels in both runs; "" without any."""
    before, after = (
        "\n\n".join(filter(None, (kernel_text(of, kernel) for kernel in (side.kernels if side else ()))))
        for side, of in ((row.base, base), (row.candidate, run))
    )
    return before, after


def helpers_diff(row: Row, base: Run, run: Run) -> str:
    """A unified diff of files a row's kernels share that changed, apart from the kernels' own functions."""
    edited = [change for change in row.sources if change.base and change.candidate]
    return "".join(
        _unified(
            base.sources.get(change.base or "", ""),
            run.sources.get(change.candidate or "", ""),
            f"A: {change.file}",
            f"B: {change.file}",
        )
        for change in edited
    )


def kernel_text(run: Run, kernel: str) -> str:
    """The text of a kernel named "package.module.function": its function, or its file where that fails."""
    module, _, function = kernel.rpartition(".")
    text = text_of(run, f"{module.replace('.', '/')}.py") or ""
    try:
        found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        return text
    node = next((each for each in found if each.name == function), None)
    if node is None:
        return text
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _unified(before: str, after: str, a: str, b: str) -> str:
    lines = unified_diff(before.splitlines(), after.splitlines(), a, b, lineterm="")
    return "\n".join(lines)
