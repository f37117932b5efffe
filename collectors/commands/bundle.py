"""`collectors bundle`: the plug-in model and its kernels as the one file the challenge wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collectors.commands.options import Json
from collectors.commands.screen import number, output, print_json, progress, say, table
from collectors.errors import UsageError

if TYPE_CHECKING:
    from collectors.bundling.verify import Checked

COLUMNS = ("kernel", "phase", "instructions", "source tree µs", "one file µs", "same")


def bundle(
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.py", help="Where to write.")],
    kernels: Annotated[
        str, typer.Option(help="baseline, tuned, or SLOT=VARIANT separated by commas.")
    ] = "tuned",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    json: Json = False,
) -> None:
    """Write the plug-in model with its kernels as a single file, and check it against the source tree.

    The file is loaded in a process of its own, and every kernel in it is simulated beside the original: it
    is kept only where instructions and times are the same.

    Example: collectors bundle -o qwen_with_nki.py
    """
    from collectors.bundling.submission import submission
    from collectors.bundling.verify import checked, loads_alone, refuse_forbidden
    from kernels.registry import kernel_choice

    if out.suffix != ".py":
        raise UsageError(f"{out} is not a Python file", "name it FILE.py")
    if out.exists() and not force:
        raise UsageError(f"{out} exists", "give another name, or --force to replace it")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {out.absolute().parent}", "create it first")
    written = submission(kernel_choice(kernels), kernels)
    refuse_forbidden(written.text)
    part = out.with_suffix(".part.py")
    try:
        part.write_text(written.text, "utf-8")
        with progress("checking") as shown:
            loads_alone(part, written.kernels[0][0].function)
            rows = checked(
                part,
                written.kernels,
                lambda at, total, name: shown.update(
                    shown.task_ids[0], completed=at, total=total, description=f"checking {name}"
                ),
            )
        part.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error}", "choose a folder you may write to") from None
    finally:
        part.unlink(missing_ok=True)
    if json:
        print_json({"file": str(out), "lines": written.text.count("\n"), "kernels": rows})
        return
    output().print(table(COLUMNS, [_row(row) for row in rows], left=2))
    say(f"Wrote {out}: {written.text.count(chr(10)):,} lines, {len(rows)} kernels checked")


def _row(row: Checked) -> list[str]:
    same = "yes" if row.same else "no"
    times = (number(ns / 1e3, 4) for ns in (row.tree_ns, row.file_ns))
    return [f"{row.slot} {row.variant}", row.phase, f"{row.instructions:,}", *times, same]
