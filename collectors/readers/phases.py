"""Which graph of a model a profile is of, by the names it and its files carry: its phase, its bucket."""

from __future__ import annotations

import re
from collections.abc import Iterable

from collectors.records import Phase

# NxD Inference names its two models, and their compile folders, context_encoding_model and
# token_generation_model; people and file names shorten them.
_NAMES: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    ("prefill", re.compile(r"context[_-]?encod|(?<![a-z])(?:prefill|cte)(?![a-z])", re.IGNORECASE)),
    ("decode", re.compile(r"token[_-]?gen|(?<![a-z])(?:decode|tkg)(?![a-z])", re.IGNORECASE)),
)

# NxD Inference compiles a model's buckets into folders numbered from the shortest, `_tp0_bk2`.
_BUCKET = re.compile(r"(?:_tp\d+_|(?<![a-z]))(?:bk|bucket)[_-]?(\d+)(?!\d)", re.IGNORECASE)


def phase_of(names: Iterable[object]) -> Phase | None:
    """The phase the first telling name says; None when none does, or one says both."""
    for name in names:
        found = [phase for phase, pattern in _NAMES if pattern.search(str(name or ""))]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def bucket_number(names: Iterable[object]) -> int | None:
    """What follows "bk" or "bucket" in the first name that has it, a place from 0 or a length; else None."""
    found = (_BUCKET.search(str(name or "")) for name in names)
    return next((int(each.group(1)) for each in found if each), None)
