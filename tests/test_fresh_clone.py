"""The README's first command on a fresh clone: sets up, profiles twice, compares, and leaves a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[1]


def clone(target: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout, so there is nothing to clone")
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not on PATH")
def test_make_demo_works_on_a_fresh_clone_and_leaves_two_finished_runs(tmp_path: Path) -> None:
    checkout = clone(tmp_path / "clone")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NKI_DASHBOARD", "VIRTUAL_ENV"))}
    environment |= {"SERVE": "0", "NKI_DASHBOARD_CACHE": str(tmp_path / "cache")}

    done = subprocess.run(["make", "demo"], cwd=checkout, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulat" in (done.stdout + done.stderr).lower()
    with duckdb.connect(str(checkout / "runs.db"), read_only=True) as database:
        runs = database.sql("SELECT label, provenance, is_baseline FROM run ORDER BY created_at").fetchall()
    assert runs == [("baseline", "simulated", True), ("tuned", "simulated", False)]
    status = subprocess.run(
        ["git", "status", "--short"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
