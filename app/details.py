"""What a run was made of: kernels, environment, accuracy checks, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app import pieces, words
from collectors.records import Check, Run


def shown(run: Run) -> str:
    """Everything kept of a run beside its times, as tables side by side."""
    made = (
        _pairs("kernel in slot", run.kernels.items()),
        _checks(run.checks),
        _pairs("configuration", _flat(run.configuration, skip="source_files")),
        _pairs("environment", _flat(run.environment)),
    )
    warnings = pieces.notes(f"! {pieces.plain(each)}" for each in run.warnings)
    return f'{warnings}<div class="cards">{"".join(f"<div>{table}</div>" for table in made if table)}</div>'


def _pairs(title: str, items: Iterable[tuple[str, Any]]) -> str:
    rows = [[pieces.soft(key), pieces.plain(value)] for key, value in items]
    return pieces.table([(title, ""), ("", "")], rows) if rows else ""


def _checks(checks: Iterable[Check]) -> str:
    head = [
        ("accuracy check", "A variant, or the small model, against its reference"),
        ("largest error", "As the check measures it"),
        ("tolerance", "What the check allows"),
        ("", ""),
    ]
    rows = [
        [
            pieces.tip(check.name, check.detail),
            words.number(check.error),
            words.number(check.tolerance),
            "passed" if check.passed else '<span class="worse">✕ failed</span>',
        ]
        for check in checks
    ]
    return pieces.table(head, rows) if rows else ""


def _flat(mapping: Mapping[str, Any], prefix: str = "", skip: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if key == skip:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", words.MISSING if value is None else value
