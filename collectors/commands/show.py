"""`collectors show`: one run in full."""

from __future__ import annotations

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import number, output, print_json, table
from collectors.records import Check, Run


def show(run: RunName = "latest", db: Database = None, json: Json = False) -> None:
    """Show one run: where end to end goes, kernels by share of time, phases, checks, warnings.

    Example: collectors show latest
    """
    from collectors.commands import summary

    store = open_store(db)
    found = store.load(store.resolve(run))
    if json:
        print_json(summary.as_object(found) | _rest(found))
        return
    screen = output()
    for text in (summary.title(found), summary.line(found)):
        screen.print(text, soft_wrap=True, style="bold", markup=False)
    if (whole := summary.stage_table(found)) is not None:
        screen.print(whole)
        screen.print()
    screen.print(summary.kernel_table(found))
    if told := summary.phases(found):
        screen.print(told, soft_wrap=True, markup=False)
    if told := summary.throughput(found):
        screen.print(told, soft_wrap=True, markup=False)
    if found.checks:
        screen.print(
            table(
                ("check", "variant", "result", "error", "tolerance"),
                [_check(each) for each in found.checks],
                left=3,
            )
        )
    formulas = {launch.slot: launch.formula for launch in found.launches if launch.formula}
    for name, formula in formulas.items():
        screen.print(f"{name}, estimated: {formula}", soft_wrap=True, markup=False)
    for text in found.warnings:
        screen.print(f"warning: {text}", soft_wrap=True, markup=False)


def _check(check: Check) -> list[str]:
    result = "passed" if check.passed else f"failed: {check.detail}"
    return [check.name, check.variant or "", result, number(check.error), number(check.tolerance)]


def _rest(run: Run) -> dict[str, object]:
    """What a stored run has beyond what `profile --json` prints."""
    return {
        "label": run.label,
        "session": run.session,
        "created_at": run.created_at.isoformat(),
        "backend": run.backend,
        "lnc": run.lnc,
        "seq_len": run.seq_len,
        "prompt_tokens": run.prompt_tokens,
        "new_tokens": run.new_tokens,
        "configuration": dict(run.configuration),
        "environment": dict(run.environment),
        "checks": list(run.checks),
        "samples": list(run.samples),
        "warnings": list(run.warnings),
    }
