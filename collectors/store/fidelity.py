"""Fidelity reports in runs.db."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from collectors.store.door import Store
from collectors.store.write import to_json

INSERT = "INSERT OR REPLACE INTO fidelity VALUES (?, ?)"
LATEST = "SELECT report FROM fidelity ORDER BY created_at DESC LIMIT 1"


def save_fidelity(store: Store, created_at: datetime, report: Mapping[str, Any]) -> None:
    """Keep a report of plain values. Raises `StoreError`."""
    text = to_json(report)
    with store.writing() as opened:
        opened.execute(INSERT, [created_at, text])


def latest_fidelity(store: Store) -> dict[str, Any] | None:
    """The newest report, None when there is none. Raises `StoreError`."""
    with store.reading() as opened:
        found = opened.execute(LATEST).fetchone()
    report: dict[str, Any] | None = None if found is None else json.loads(found[0])
    return report
