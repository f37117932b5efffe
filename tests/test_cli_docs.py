"""The documentation knows every command, and docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.cli import VERBS
from collectors.commands.reference import reference

ROOT = Path(__file__).parents[1]
NAMES = [verb.__name__ for verb in VERBS]


def test_the_reference_is_what_the_commands_say() -> None:
    written = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert written == reference(), "run: python -m collectors.commands.reference > docs/cli.md"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_in_the_reference_with_help_and_an_example(name: str) -> None:
    section = reference().split(f"## {name}\n")[1].split("\n## ")[0]
    assert f"Example: collectors {name}" in section
