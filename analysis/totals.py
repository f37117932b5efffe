"""What a run cost in total: prefill, decode, host, time to first token, end to end, and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from analysis.estimate import Estimate, Provenances, part, total
from analysis.flops import FlopsShare, challenge_share, honest_share
from analysis.statistics import mean_interval
from collectors.records import Launch, Phase, Run

E2E_SAMPLES = "e2e_ns"
P99_SAMPLES = "e2e_p99_ns"
TTFT_SAMPLES = "ttft_ns"


@dataclass(frozen=True, slots=True)
class Slice:
    """One slot's part of a run: `total_ns` over the run, `share` of the end-to-end (or kernel) time."""

    phase: Phase
    slot: str
    variants: tuple[str, ...]
    total_ns: float
    share: float
    provenance: Provenances


@dataclass(frozen=True, slots=True)
class Totals:
    """A run's totals in nanoseconds and rates per second. None where the run has nothing to say it with.

    `prefill_ns` and `decode_ns_per_token` are device time, the latter of one step, which gives each sequence
    of a batch its token; `decode_per_s` is the tokens a second of such steps, without the host.
    `decode_steps` is new tokens less the first, which prefill yields. `host_ns` is host time over the run.
    `e2e_p99_ns` is the 99th percentile of measured repetitions (as a benchmark reported it, where the
    repetitions are not known), or `e2e_ns` where there is one value. `tokens_per_s` counts prompt and output
    as the challenge does (sequence length × batch / end-to-end time); `generated_per_s` counts new tokens
    only. `kernel_ns` is a single-kernel run's time. `waterfall` sums to `e2e_ns` (or `kernel_ns`), in the
    order of execution.
    """

    prefill_ns: Estimate | None
    decode_ns_per_token: Estimate | None
    decode_steps: int | None
    host_ns: Estimate | None
    host_ns_per_token: Estimate | None
    ttft_ns: Estimate | None
    e2e_ns: Estimate | None
    e2e_p99_ns: Estimate | None
    tokens_per_s: Estimate | None
    generated_per_s: Estimate | None
    decode_per_s: Estimate | None
    nki_flops_share: FlopsShare | None
    nki_flops_share_executed: FlopsShare | None
    kernel_ns: Estimate | None
    waterfall: tuple[Slice, ...]


def totals(run: Run) -> Totals:
    """A run's totals. Measured repetitions of `e2e_ns` and `ttft_ns` win over sums of launches."""
    steps = decode_steps(run)
    prefill = _sum(run, "prefill", "Σ count × time of the prefill launches") if _one_prefill(run) else None
    decode = _sum(run, "decode", "Σ count × time of the decode launches")
    e2e = _end_to_end(run)
    host = _host(run, e2e)
    per_token = (
        decode.scaled(1 / steps, f"decode device time / {steps} decode steps") if decode and steps else None
    )
    return Totals(
        prefill_ns=prefill,
        decode_ns_per_token=per_token,
        decode_steps=steps,
        host_ns=host,
        host_ns_per_token=_host_per_token(run),
        ttft_ns=_first_token(run),
        e2e_ns=e2e,
        e2e_p99_ns=_p99(run, e2e),
        tokens_per_s=_rate(run.seq_len, run.batch, e2e, "sequence length × batch / end-to-end time"),
        generated_per_s=_rate(run.new_tokens, run.batch, e2e, "new tokens × batch / end-to-end time"),
        decode_per_s=_rate(1, run.batch, per_token, "batch / device time of a decode step"),
        nki_flops_share=challenge_share(run),
        nki_flops_share_executed=honest_share(run),
        kernel_ns=_sum(run, "kernel", "Σ count × time of the kernel's launches"),
        waterfall=_waterfall(run, e2e),
    )


def decode_steps(run: Run) -> int | None:
    """Decode graphs executed for one sequence: prefill yields the first of the new tokens."""
    return None if run.new_tokens is None else max(run.new_tokens - 1, 0)


def samples_of(run: Run, metric: str) -> tuple[float, ...]:
    """Repetitions of a whole-run metric a device measured; a simulator's repetitions are only copies."""
    if run.provenance != "measured":
        return ()
    return tuple(sample.value for sample in run.samples if sample.metric == metric and sample.launch is None)


def first_token_parts(launches: Iterable[Launch]) -> list[tuple[Launch, int]]:
    """The launches up to the first token with their executions: prefill, and one of each host row."""
    counts: dict[Phase, Callable[[Launch], int]] = {
        "prefill": lambda launch: launch.count,
        "host": lambda _: 1,
    }
    return [(launch, counts[launch.phase](launch)) for launch in launches if launch.phase in counts]


def _one_prefill(run: Run) -> bool:
    """Whether prefill ran one graph: profiles of several buckets are no prefill of a request."""
    return len({row.bucket for row in run.launches if row.phase == "prefill"} - {None}) < 2


def _sum(run: Run, phase: Phase, basis: str) -> Estimate | None:
    parts = [part(launch) for launch in run.launches if launch.phase == phase]
    return total(parts, basis) if parts else None


def _sampled(run: Run, metric: str) -> Estimate | None:
    values = samples_of(run, metric)
    if not values:
        return None
    interval = mean_interval(values)
    reported = metric == E2E_SAMPLES and samples_of(run, P99_SAMPLES)
    basis = "mean the benchmark reported" if reported else f"mean of {len(values)} measured repetitions"
    return Estimate(float(np.mean(values)), interval.low, interval.high, Provenances(measured=1.0), basis)


def _end_to_end(run: Run) -> Estimate | None:
    if sampled := _sampled(run, E2E_SAMPLES):
        return sampled
    parts = [part(launch) for launch in run.launches if launch.phase != "kernel"]
    phases = {launch.phase for launch in run.launches}
    known = run.new_tokens is not None
    whole = known and ("decode" in phases or ("prefill" in phases and run.new_tokens == 1))
    return total(parts, "prefill + decode steps × decode + host") if whole else None


def _first_token(run: Run) -> Estimate | None:
    if sampled := _sampled(run, TTFT_SAMPLES):
        return sampled
    launches = first_token_parts(run.launches)
    if not any(launch.phase == "prefill" for launch, _ in launches) or not _one_prefill(run):
        return None
    parts = [part(launch, executions) for launch, executions in launches]
    return total(parts, "prefill on the device + one execution of each host row")


def _host(run: Run, e2e: Estimate | None) -> Estimate | None:
    """Host rows if there are any; else what a measured end-to-end time leaves after the device's launches."""
    if rows := _sum(run, "host", "Σ count × time of the host rows"):
        return rows
    device = [part(launch) for launch in run.launches if launch.phase in ("prefill", "decode")]
    if e2e is None or not device or not samples_of(run, E2E_SAMPLES):
        return None
    left = e2e.value - total(device).value
    return Estimate(left, None, None, e2e.provenance, "measured end-to-end time less device time")


def _host_per_token(run: Run) -> Estimate | None:
    parts = [part(launch, 1) for launch in run.launches if launch.phase == "host" and launch.count > 1]
    return total(parts, "one execution of each host row that runs every token") if parts else None


def _p99(run: Run, e2e: Estimate | None) -> Estimate | None:
    values = samples_of(run, E2E_SAMPLES)
    if not values or e2e is None:
        return e2e
    if reported := samples_of(run, P99_SAMPLES):
        basis = "99th percentile the benchmark reported"
        return Estimate(reported[0], None, None, e2e.provenance, basis)
    basis = f"99th percentile of {len(values)} measured repetitions"
    return Estimate(float(np.percentile(values, 99)), None, None, e2e.provenance, basis)


def _rate(tokens: int | None, batch: int, e2e: Estimate | None, basis: str) -> Estimate | None:
    return None if e2e is None or not tokens else e2e.dividing(tokens * batch * 1e9, basis)


def _waterfall(run: Run, e2e: Estimate | None) -> tuple[Slice, ...]:
    groups: dict[tuple[Phase, str], list[Launch]] = {}
    for launch in run.launches:
        groups.setdefault((launch.phase, launch.slot), []).append(launch)
    sums = {key: total(part(launch) for launch in launches) for key, launches in groups.items()}
    listed = sum(estimate.value for estimate in sums.values())
    whole = e2e.value if e2e else listed
    slices = [
        Slice(
            phase,
            slot,
            _variants(groups[phase, slot]),
            amount.value,
            _share(amount.value, whole),
            amount.provenance,
        )
        for (phase, slot), amount in sums.items()
    ]
    if e2e and samples_of(run, E2E_SAMPLES) and whole != listed:
        left = whole - listed
        slices.append(Slice("host", "unaccounted", (), left, _share(left, whole), Provenances(measured=1.0)))
    return tuple(slices)


def _variants(launches: Iterable[Launch]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(launch.variant for launch in launches))


def _share(value: float, whole: float) -> float:
    return value / whole if whole else 0.0
