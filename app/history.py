"""Every run as a trial on the staircase and as a row of the table of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.comparability import git_of
from analysis.headlines import Headline
from analysis.padding import padded, padding
from analysis.score import Formula, Points, points
from app import query, words
from app.charts.staircase import Trial
from app.measures import measure_of
from app.selection import View, workload
from collectors.records import Run

ACCURACY = {1: "passed", 0: "failed", None: "not checked"}

# Columns that a table leaves out when no run of it has them.
NUMBERS = ("ms/token", "TTFT", "tokens/s", "kernel", "points")

# Columns that say something beside a run of another batch.
OF_BATCHES = ("decode tokens/s", "padding")


def alike(view: View) -> list[Run]:
    """Runs of the same work as the one shown, with numbers of the same provenance, oldest first."""
    same = [run for run in view.runs if work_of(run) == work_of(view.run)]
    return sorted(same, key=lambda run: (run.created_at, run.run_id))


def work_of(run: Run) -> tuple[object, ...]:
    """What must be equal for two runs to stand on one staircase."""
    kernels = tuple(run.kernels) if run.prompt is None else ()
    return run.target, run.prompt, run.seq_len, run.batch, run.provenance, kernels


def trials(view: View, formula: Formula) -> list[Trial]:
    """The runs like the one shown, by what runs of their kind are ranked by."""
    return [_trial(view, run, formula) for run in alike(view)]


def scored(view: View, run: Run, formula: Formula) -> Points:
    """A run's points."""
    return points(query.total_of(view.path, view.version, run), run, formula)


def _trial(view: View, run: Run, formula: Formula) -> Trial:
    when, about = f"{run.created_at:%d %b %H:%M}", f"{workload(run)} · {run.target} · {run.provenance}"
    measure = measure_of(run)
    if measure.estimate is not None:
        found = measure.estimate(query.total_of(view.path, view.version, run))
        ends = (found.value, found.low, found.high) if found else (None,) * 3
        value, low, high = (None if end is None else end / measure.scale for end in ends)
        return Trial(run.run_id, run.label, when, value, low, high, counts=run.accuracy != 0, note=about)
    score = scored(view, run, formula)
    counts = score.value is not None and not score.reason
    note = score.reason or about
    return Trial(run.run_id, run.label, when, score.value, score.low, score.high, counts=counts, note=note)


def rows(view: View, runs: Sequence[Run], formula: Formula) -> list[dict[str, Any]]:
    """The table of runs, in the order given."""
    bases = {run.run_id: base_for(view, run) for run in runs}
    pairs = tuple((base.run_id, run_id) for run_id, base in bases.items() if base and base.run_id != run_id)
    found = query.first_headlines(view.path, view.version, pairs)
    moved = {run_id: headline for (_, run_id), headline in found.items()}
    return [
        _row(view, run, formula) | _difference(run, bases[run.run_id], moved.get(run.run_id)) for run in runs
    ]


def matches(run: Run, text: str) -> bool:
    """Whether every word of a filter occurs in what the table says of a run."""
    git = git_of(run)
    kernels = " ".join(f"{slot}={variant}" for slot, variant in run.kernels.items())
    named = (run.label, run.run_id, run.target, run.provenance, workload(run), git.get("commit"), kernels)
    said = " ".join(map(str, named)).lower()
    return all(part in said for part in text.lower().split())


def _row(view: View, run: Run, formula: Formula) -> dict[str, Any]:
    total = query.total_of(view.path, view.version, run)
    e2e_or_kernel = total.e2e_ns or total.kernel_ns
    return {
        "run_id": run.run_id,
        "label": f"{run.label} ⚑" if run.run_id in view.baselines else run.label,
        "when": run.created_at,
        "commit": _commit(run),
        "target": run.target,
        "provenance": e2e_or_kernel.provenance.label if e2e_or_kernel else run.provenance,
        "work": workload(run),
        "ms/token": _ms(total.decode_ns_per_token),
        "TTFT": _ms(total.ttft_ns),
        "tokens/s": total.tokens_per_s.value if total.tokens_per_s else None,
        "decode tokens/s": total.decode_per_s.value if total.decode_per_s else None,
        "padding": words.hundred(padded(padding(run), "decode")),
        "kernel": words.in_unit(total.kernel_ns.value, "µs") if total.kernel_ns else None,
        "accuracy": ACCURACY[run.accuracy],
        "points": scored(view, run, formula).value,
    }


def _difference(run: Run, base: Run | None, headline: Headline | None) -> dict[str, Any]:
    if base is None:
        return {"difference": None, "interval": "no baseline", "verdict": None}
    if base.run_id == run.run_id:
        return {"difference": None, "interval": "is the baseline", "verdict": None}
    if headline is None or headline.difference is None:
        return {"difference": None, "interval": "", "verdict": words.verdict("cannot tell")}
    change = headline.difference
    return {
        "difference": words.hundred(change.relative),
        "interval": f"{words.between(change.low, change.high, sign=True)} {headline.unit}".strip(),
        "verdict": words.verdict(headline.judgement.verdict),
    }


def base_for(view: View, run: Run) -> Run | None:
    """The picked baseline where it ran the same work, else the one marked for the run's own work."""
    if view.base and query.same_work(view.base, run):
        return view.base
    return query.baseline_of(run, view.runs, view.baselines)


def _commit(run: Run) -> str:
    git = git_of(run)
    commit = git.get("commit")
    return f"{str(commit)[:8]}{' + changes' if git.get('dirty') else ''}" if commit else words.MISSING


def _ms(estimate: Any) -> float | None:
    return words.in_unit(estimate.value, "ms") if estimate else None
