"""Whether a profile is of a model's prefill or decode graph, by the names it and its files carry."""

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


def phase_of(names: Iterable[object]) -> Phase | None:
    """The phase the first telling name says; None when none does, or one says both."""
    for name in names:
        found = [phase for phase, pattern in _NAMES if pattern.search(str(name or ""))]
        if found:
            return found[0] if len(found) == 1 else None
    return None
