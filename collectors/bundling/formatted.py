"""The file as the formatter writes it: names that grew and rows that were put together fit their lines."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

COLUMNS = 110


def formatted(text: str) -> str:
    """The same code in ruff's format; as it is where ruff is not installed."""
    if importlib.util.find_spec("ruff") is None:
        return text
    settings = ["--isolated", "--line-length", str(COLUMNS), "--stdin-filename", "submission.py"]
    command = [sys.executable, "-m", "ruff", "format", *settings, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - our own text
    return done.stdout if done.returncode == 0 else text
