"""`collectors baseline`: which run others are compared with."""

from __future__ import annotations

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import print_json, say


def baseline(run: RunName, db: Database = None, json: Json = False) -> None:
    """Make a run the baseline of its target and prompt.

    Example: collectors baseline latest
    """
    store = open_store(db)
    run_id = store.resolve(run)
    store.set_baseline(run_id)
    found = store.load(run_id)
    if json:
        print_json({"run_id": run_id, "target": found.target, "prompt": found.prompt})
        return
    what = "this kernel" if found.prompt is None else f"prompt {found.prompt}"
    say(f"{found.label} ({run_id}) is the baseline of {what} on {found.target}.")
