"""docs/cli.md out of the commands themselves: `python -m collectors.commands.reference > docs/cli.md`."""

from __future__ import annotations

import sys

import typer

WIDTH = 96
INTRODUCTION = """# The command line

`RUN` is an id (or the start of one), a label, `baseline`, `latest` or `latest~1`; `/p3` picks a prompt.
Results go to standard output, everything else to standard error. `--json` prints one JSON object and nothing
else; an error is then `{"error": ..., "hint": ...}`. Exit code 2 is an error a person can mend.
"""


def reference() -> str:
    """Every verb with its help, as Markdown."""
    from collectors.cli import HELP, cli

    group = typer.main.get_command(cli)
    parts = [INTRODUCTION]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        context = command.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH, **HELP)
        context.info_name = f"collectors {name}"
        parts.append(f"## {name}\n\n```text\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(reference())
