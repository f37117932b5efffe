"""Where a run was made: versions, host, git commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("nki-dashboard", "numpy", "ml_dtypes", "duckdb", "pyarrow", "torch", "transformers")
ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path = ROOT) -> dict[str, Any]:
    """Versions of what matters, the host, and the git commit of `folder`."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "git": git(folder),
    }


def package_version(name: str) -> str | None:
    """An installed package's version, None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git(folder: Path) -> dict[str, Any]:
    """Commit and whether tracked files differ from it; both None outside a git checkout."""
    commit = _git(folder, ("rev-parse", "HEAD"))
    changed = _git(folder, ("status", "--porcelain", "--untracked-files=no"))
    return {"commit": commit or None, "dirty": None if not commit or changed is None else bool(changed)}


def _git(folder: Path, arguments: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments)
            ["git", "-C", str(folder), *arguments],  # noqa: S607 (the user's git)
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
