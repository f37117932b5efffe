"""`collectors runs`: what has been tried, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collectors.commands.options import Database, Json, open_store
from collectors.commands.screen import number, output, print_json, say, table
from collectors.records import Run
from collectors.store.door import Store
from collectors.store.trials import find_study, trial_runs

if TYPE_CHECKING:
    from analysis.estimate import Estimate
    from analysis.totals import Totals

COLUMNS = (
    "label",
    "run",
    "when",
    "provenance",
    "target",
    "prompt",
    "commit",
    "ms/token",
    "TTFT ms",
    "e2e ms",
    "tokens/s",
    "points",
    "accuracy",
)


def runs(
    label: Annotated[str | None, typer.Option(help="Only runs with this label.")] = None,
    prompt: Annotated[int | None, typer.Option(help="Only runs of this prompt.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many, the newest.")] = None,
    study: Annotated[
        str | None,
        typer.Option(help="The trials of this search instead, which lists leave out.", metavar="STUDY"),
    ] = None,
    db: Database = None,
    json: Json = False,
) -> None:
    """List the runs, newest first; * marks a baseline.

    Example: collectors runs --prompt 3 --limit 10
    """
    store = open_store(db)
    baselines = store.baselines()
    found = [
        run
        for run in (store.runs() if study is None else _trials(store, study))
        if (label is None or run.label == label) and (prompt is None or run.prompt == prompt)
    ][:limit]
    if json:
        print_json({"runs": [as_object(run, baseline=run.run_id in baselines) for run in found]})
        return
    if not found:
        say(f"No runs in {store.path}. Make one with `collectors profile --prompt 3`.")
        return
    output().print(table(COLUMNS, [_row(run, run.run_id in baselines) for run in found], left=7))


def _trials(store: Store, study: str) -> list[Run]:
    """Runs of a study's trials, newest first."""
    found = trial_runs(store, find_study(store, study).study)
    return sorted(found.values(), key=lambda run: (run.created_at, run.run_id), reverse=True)


def as_object(run: Run, *, baseline: bool) -> dict[str, Any]:
    """A run in a list: what it is and its totals in ms, tokens/s and points."""
    from analysis.padding import padding
    from analysis.score import points
    from analysis.totals import totals

    found = totals(run)
    return {
        "run_id": run.run_id,
        "label": run.label,
        "session": run.session,
        "created_at": run.created_at.isoformat(),
        "provenance": run.provenance,
        "backend": run.backend,
        "target": run.target,
        "lnc": run.lnc,
        "prompt": run.prompt,
        "seq_len": run.seq_len,
        "batch": run.batch,
        "kernels": run.configuration.get("kernels") or run.configuration.get("kernel"),
        "commit": _commit(run),
        "is_baseline": baseline,
        "accuracy": run.accuracy,
        "points": points(found, run).value,
        "padding": {each.phase: each.share for each in padding(run)},
        **{name: each.value / unit if each else None for name, (each, unit) in _totals(found).items()},
        "intervals": {
            name: [each.low / unit, each.high / unit]
            for name, (each, unit) in _totals(found).items()
            if each and each.low is not None and each.high is not None
        },
    }


def _totals(found: Totals) -> dict[str, tuple[Estimate | None, float]]:
    """A run's totals with the unit they are shown in."""
    ms = {
        "decode_ms_per_token": found.decode_ns_per_token,
        "ttft_ms": found.ttft_ns,
        "prefill_ms": found.prefill_ns,
        "e2e_ms": found.e2e_ns,
        "kernel_ms": found.kernel_ns,
    }
    rates = {"tokens_per_s": found.tokens_per_s, "decode_tokens_per_s": found.decode_per_s}
    return {name: (each, 1e6) for name, each in ms.items()} | {
        name: (rate, 1.0) for name, rate in rates.items()
    }


def _commit(run: Run) -> str | None:
    """Short commit, + when files differed from it."""
    git = run.environment.get("git") or {}
    commit = git.get("commit")
    return f"{commit[:7]}{'+' if git.get('dirty') else ''}" if commit else None


def _row(run: Run, baseline: bool) -> list[str]:
    shown = as_object(run, baseline=baseline)
    accuracy = {None: "—", 0: "failed", 1: "passed"}[run.accuracy]
    return [
        f"{run.label}{' *' if baseline else ''}",
        run.run_id,
        f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
        run.provenance,
        f"{run.target} LNC{run.lnc}",
        "kernel" if run.prompt is None else str(run.prompt),
        shown["commit"] or "—",
        _between(shown, "decode_ms_per_token"),
        _between(shown, "ttft_ms"),
        _between(shown, "e2e_ms" if shown["e2e_ms"] else "kernel_ms"),
        _between(shown, "tokens_per_s"),
        number(shown["points"]),
        accuracy,
    ]


def _between(shown: Mapping[str, Any], name: str) -> str:
    """A total with its interval, where it has one."""
    ends = shown["intervals"].get(name)
    return number(shown[name]) + (f" [{number(ends[0])}–{number(ends[1])}]" if ends else "")
