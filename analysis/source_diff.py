"""What changed in the kernels of a row between two runs, as unified diffs of their stored source."""

from __future__ import annotations

import ast
from difflib import unified_diff

from analysis.compare import Row
from analysis.source_files import text_of
from collectors.records import Run


def diffs(row: Row, base: Run, run: Run) -> tuple[str, ...]:
    """What changed in the row's kernels and in the files they share; empty when nothing did."""
    return tuple(filter(None, (kernels_diff(row, base, run), helpers_diff(row, base, run))))


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
