"""A run as the command line shows it: the JSON object, the table of kernels, the one line."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from analysis.estimate import Estimate
from analysis.padding import padding
from analysis.score import points
from analysis.stages import stages
from analysis.totals import totals
from collectors.commands.screen import number, percent, table
from collectors.records import ENGINE_NAMES, Launch, Run

MS = 1e6
COLUMNS = ("phase", "slot", "variant", "bucket", "count", "µs", "low–high", "total ms", "share %")


def as_object(run: Run) -> dict[str, Any]:
    """What `profile --json` prints of a run: shares are 0 to 1, null is unknown."""
    found = totals(run)
    share = found.nki_flops_share
    return {
        "run_id": run.run_id,
        "provenance": run.provenance,
        "target": run.target,
        "prompt": run.prompt,
        "kernels": dict(run.kernels),
        "prefill_ms": _in(found.prefill_ns, MS),
        "decode_ms_per_token": _in(found.decode_ns_per_token, MS),
        "e2e_ms": _in(found.e2e_ns, MS),
        "tokens_per_s": _in(found.tokens_per_s, 1),
        "batch": run.batch,
        "decode_tokens_per_s": _in(found.decode_per_s, 1),
        "padding": {each.phase: each.share for each in padding(run)},
        "points": points(found, run).value,
        "nki_flops_share": share.value if share else None,
        "accuracy": run.accuracy,
        "wall_s": run.wall_s,
        "end_to_end": [
            {
                "stage": each.name,
                "times": each.count,
                "ms_each": each.each.value / MS,
                "share": each.share,
                "provenance": each.each.provenance.label,
            }
            for each in stages(found, run.new_tokens)
        ],
        "launches": [_launch(run, launch) for launch in run.launches],
    }


def kernel_table(run: Run) -> Table:
    """Launches by share of the whole run's time."""
    whole = _whole(run)
    ordered = sorted(run.launches, key=lambda launch: launch.time_ns * launch.count, reverse=True)
    columns = (*COLUMNS, *(f"{name} %" for name in ENGINE_NAMES), "bound", "provenance")
    return table(columns, [_row(run, launch, whole) for launch in ordered], left=3)


def stage_table(run: Run) -> Table | None:
    """Context encoding + tokens × decode + host, which sum to end to end; None for a single kernel."""
    found = stages(totals(run), run.new_tokens)
    if not found:
        return None
    rows = [
        [
            each.name,
            each.each.provenance.label,
            f"{each.count:,}",
            number(each.each.value / MS),
            number(each.total_ns / MS),
            percent(each.share),
        ]
        for each in found
    ]
    return table(("end to end", "provenance", "times", "ms each", "total ms", "share %"), rows, left=2)


def phases(run: Run) -> str:
    """How long each phase of the collector took; "" when nothing kept it."""
    seconds: dict[str, float] = run.configuration.get("phase_seconds") or {}
    told = ", ".join(f"{name} {number(value)} s" for name, value in seconds.items())
    return f"phases: {told}" if told else ""


def line(run: Run) -> str:
    """The run in one line: ms per token, TTFT, tokens/s and points against the official baseline."""
    found = totals(run)
    if found.kernel_ns is not None:
        return f"{_shown(found.kernel_ns, 1e3)} µs ({found.kernel_ns.provenance.label})"
    if "events" in run.configuration and found.e2e_ns is None:
        return f"{len(run.configuration['events'])} totals of runtime events ({run.provenance})"
    scored = points(found, run)
    score = (
        f"{number(scored.value)} points{_range(scored.low, scored.high)}"
        if scored.value is not None
        else "no points"
    )
    device = found.decode_ns_per_token
    parts = [
        f"{_shown(device, MS)} ms/{_step(run)} on the device" if device else "",
        f"TTFT {_shown(found.ttft_ns, MS)} ms" if found.ttft_ns else "",
        f"end to end {_shown(found.e2e_ns, MS)} ms" if found.e2e_ns else "",
        f"{_shown(found.tokens_per_s, 1)} tokens/s" if found.tokens_per_s else "",
        score + (f" ({scored.reason})" if scored.reason else " against the official baseline"),
    ]
    label = found.e2e_ns.provenance.label if found.e2e_ns else run.provenance
    return f"{', '.join(filter(None, parts))}; {label}"


def throughput(run: Run) -> str:
    """Tokens per second of decode and the shares of padding, in one line; "" when neither is known."""
    rate, found = totals(run).decode_per_s, padding(run)
    shares = ", ".join(f"{each.phase} {percent(each.share)} %" for each in found)
    parts = (
        f"decode: {_shown(rate, 1)} tokens/s on the device, batch {run.batch}" if rate else "",
        f"padding and repeats in what experts multiply: {shares}" if shares else "",
    )
    return "; ".join(filter(None, parts))


def _step(run: Run) -> str:
    return "token" if run.batch == 1 else f"step of {run.batch} sequences"


def title(run: Run) -> str:
    """What the run is, in one line."""
    other = "a kernel" if any(each.phase == "kernel" for each in run.launches) else "a prompt"
    what = f"prompt {run.prompt}" if run.prompt is not None else str(run.configuration.get("kernel", other))
    length = f", {run.prompt_tokens} + {run.new_tokens} tokens" if run.new_tokens is not None else ""
    return (
        f"{run.label}  {run.run_id}  {what}{length}  {run.target} LNC{run.lnc}{_ranks(run)}  {run.provenance}"
    )


def _ranks(run: Run) -> str:
    count = run.configuration.get("ranks", 1)
    own = ", ".join(run.configuration.get("arguments_by_rank", ()))
    return f"  {count} ranks, {f'their own {own}' if own else 'all given the same'}" if count > 1 else ""


def steering(run: Run) -> list[str]:
    """Of a kernel whose course follows values: which inputs, and where their values are from."""
    typed = run.configuration.get("arguments", {})
    names = [n for p in run.profiles.values() for n in p.data_dependent.split(", ") if n in typed]
    if run.prompt is not None or not names:
        return []
    told = ", ".join(f"{name}={typed[name]}" for name in dict.fromkeys(names))
    return [f"addresses or loops follow the values of {told} (random ones: seed {run.configuration['seed']})"]


def accuracy(run: Run) -> str:
    """How the checks went, with the ones that failed."""
    if run.accuracy is None:
        return "accuracy: not checked"
    failed = [check for check in run.checks if not check.passed]
    if not failed:
        return f"accuracy: {len(run.checks)} of {len(run.checks)} checks passed"
    named = "; ".join(f"{check.name} ({check.variant or 'all'}): {check.detail}" for check in failed)
    return f"accuracy: {len(failed)} of {len(run.checks)} checks failed: {named}"


def _in(estimate: Estimate | None, unit: float) -> float | None:
    return None if estimate is None else estimate.value / unit


def _shown(estimate: Estimate | None, unit: float) -> str:
    if estimate is None:
        return "—"
    low, high = (None if end is None else end / unit for end in (estimate.low, estimate.high))
    return f"{number(estimate.value / unit)}{_range(low, high)}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{number(low)}–{number(high)}]"


def _whole(run: Run) -> float:
    return float(sum(launch.time_ns * launch.count for launch in run.launches))


def _launch(run: Run, launch: Launch) -> dict[str, Any]:
    profile = run.profiles.get(launch.profile_id or "")
    whole = _whole(run)
    return {
        "slot": launch.slot,
        "variant": launch.variant,
        "phase": launch.phase,
        "bucket": launch.bucket,
        "count": launch.count,
        "time_us": launch.time_ns / 1e3,
        "low_us": _micro(launch.low_ns),
        "high_us": _micro(launch.high_ns),
        "interval": profile.interval_basis if profile else None,
        "share": launch.time_ns * launch.count / whole if whole else None,
        "engines": {name: profile.engines.get(name) if profile else None for name in ENGINE_NAMES},
        "hbm_read_bytes": profile.hbm_read_bytes if profile else None,
        "hbm_write_bytes": profile.hbm_write_bytes if profile else None,
        "bound": profile.bound if profile else None,
        "provenance": launch.provenance,
    }


def _micro(time_ns: float | None) -> float | None:
    return None if time_ns is None else time_ns / 1e3


def _row(run: Run, launch: Launch, whole: float) -> list[str]:
    shown = _launch(run, launch)
    total = launch.time_ns * launch.count
    low, high = (None if end is None else end / 1e3 for end in (launch.low_ns, launch.high_ns))
    return [
        launch.phase,
        launch.slot,
        launch.variant,
        str(launch.bucket or ""),
        f"{launch.count:,}",
        number(launch.time_ns / 1e3),
        "" if low is None else f"{number(low)}–{number(high)}",
        number(total / MS),
        percent(total / whole if whole else None),
        *(percent(shown["engines"][name]) for name in ENGINE_NAMES),
        shown["bound"] or "",
        launch.provenance,
    ]
