"""What is known of one evaluation of the challenge, from one file or from several that belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from collectors.prompts import BASELINES, TOKENS
from collectors.readers.normalise import number
from collectors.records import Artifact, Check

MS = 1e6
SAME = 1e-6
"""Relative difference up to which two files' latencies are one measurement, printed twice."""
LENGTHS = (64, 128, 256, 640)
MODELS: Mapping[str, str] = {
    "e2e_model": "e2e",
    "context_encoding_model": "prefill",
    "token_generation_model": "decode",
}

Report = Mapping[str, Mapping[str, float]]
"""A benchmark report by our names of the models: latencies in ms by percentile, and `throughput`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One generate() under the challenge's clock. `identity` is what makes it the same when read again.

    `score` is a line of a score table as written, `events` are totals of the runtime's events by name.
    Parts a file does not have are empty.
    """

    name: str
    identity: str
    kind: str
    artifacts: tuple[Artifact, ...]
    report: Report = field(default_factory=dict)
    score: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    events: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def p99_ms(self) -> float | None:
        """The latency the challenge scores."""
        said = self.report.get("e2e", {}).get("latency_ms_p99")
        return said if said is not None else of_score(self.score, "latency")

    @property
    def mean_ms(self) -> float | None:
        """Mean end-to-end latency: as reported, or what the throughput, which is of the mean, comes to."""
        if said := self.report.get("e2e", {}).get("latency_ms_avg"):
            return said
        rate = of_score(self.score, "throughput")
        return self.seq_len * 1e3 / rate if rate and self.seq_len else None

    @property
    def seq_len(self) -> int | None:
        """Prompt and output tokens: what throughput and mean latency come to, to the nearest bucket."""
        e2e = self.report.get("e2e", {})
        if "throughput" in e2e and "latency_ms_avg" in e2e:
            return _nearest(e2e["throughput"] * e2e["latency_ms_avg"] / 1e3, 1.02)
        rate, latency = of_score(self.score, "throughput"), self.p99_ms
        return _nearest(rate * latency / 1e3, 1.3) if rate and latency else None

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the prompt: what context encoding's throughput and mean latency come to."""
        prefill = self.report.get("prefill", {})
        if "throughput" in prefill and "latency_ms_avg" in prefill:
            return round(prefill["throughput"] * prefill["latency_ms_avg"] / 1e3)
        return TOKENS.get(self.official[1]) if self.official[1] is not None else None

    @property
    def official(self) -> tuple[str, int | None]:
        """Target and prompt whose official baseline the score was taken against."""
        base = of_score(self.score, "base_latency")
        for target, rows in BASELINES.items():
            for prompt, (latency, _) in rows.items():
                if base is not None and abs(latency - base) < 0.01:
                    return target, prompt
        return "unknown", None

    @property
    def prompt(self) -> int | None:
        """The challenge's number of the prompt, by its baseline or by its length."""
        if self.official[1] is not None:
            return self.official[1]
        tokens = self.prompt_tokens
        return next((prompt for prompt, count in TOKENS.items() if count == tokens), None)


def joined(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Evaluations with those that are parts of one another put together.

    A report and a score are of one evaluation when their latencies are one number. What carries no latency
    (accuracy, event totals) belongs to the only evaluation that does; with several it stays on its own.
    """
    timed: list[Evaluation] = []
    loose: list[Evaluation] = []
    for each in evaluations:
        if each.p99_ms is None:
            loose.append(each)
            continue
        at = next((i for i, other in enumerate(timed) if _same(each, other)), None)
        if at is None:
            timed.append(each)
        else:
            timed[at] = _with(timed[at], each)
    if len(timed) == 1:
        for each in loose:
            timed[0] = _with(timed[0], each)
        return timed
    return timed + _together(loose, alone=not timed)


def of_score(score: Mapping[str, Any], name: str) -> float | None:
    """A figure of a line of scores; None when it is absent or no number."""
    try:
        return number(float(score[name]))
    except (KeyError, TypeError, ValueError):
        return None


def _together(loose: Sequence[Evaluation], *, alone: bool) -> list[Evaluation]:
    """Totals and accuracy of one session, given without any evaluation, are one run."""
    parts = [name for each in loose for name in each.events] + ["checks" for each in loose if each.checks]
    if not alone or not loose or len(parts) != len(set(parts)):
        return list(loose)
    whole = loose[0]
    for each in loose[1:]:
        whole = _with(whole, each)
    return [whole]


def _same(a: Evaluation, b: Evaluation) -> bool:
    if a.p99_ms is None or b.p99_ms is None:
        return a.identity == b.identity
    return math.isclose(a.p99_ms, b.p99_ms, rel_tol=SAME)


def _with(a: Evaluation, b: Evaluation) -> Evaluation:
    """Both as one, whichever was read first: identity and order are the contents', not the command line's."""
    if a.identity == b.identity:
        return a
    first, second = sorted((a, b), key=lambda each: (not each.report, not each.score, each.identity))
    return replace(
        first,
        identity="+".join(sorted((*a.identity.split("+"), *b.identity.split("+")))),
        artifacts=tuple(dict.fromkeys((*first.artifacts, *second.artifacts))),
        report=first.report or second.report,
        score=first.score or second.score,
        checks=first.checks or second.checks,
        events={**first.events, **second.events},
        constants={**first.constants, **second.constants},
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
    )


def _nearest(counted: float, within: float) -> int | None:
    """The bucket a token count rounds down to: the 99th percentile counts a few tokens too many."""
    return next((each for each in reversed(LENGTHS) if each / 1.02 <= counted <= each * within), None)
