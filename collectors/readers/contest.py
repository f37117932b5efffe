"""What the challenge's own programs write: benchmark_report.json, score CSV and evaluation log.

Their formats are those of aws-neuron/nki-moe main.py. The latency a score counts is the 99th percentile, so
that is the one `e2e_ns` of such a run; the other percentiles are samples of their own name.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.errors import UnreadableInput
from collectors.prompts import BASELINES
from collectors.readers.files import digest, text_of
from collectors.readers.normalise import number
from collectors.records import Artifact, Run, Sample

MS = 1e6
P99 = "e2e_ns is the 99th percentile, which the challenge scores: the file has no single repetitions."
_FIGURE = r"[ \t:]+([-+0-9.eE]+|True|False)"
_SCORE = re.compile(
    rf"^Final Score{_FIGURE}\s+Accuracy{_FIGURE}\s+Latency{_FIGURE}\s+Throughput{_FIGURE}\s+"
    rf"NKI FLOPs Ratio{_FIGURE}",
    re.MULTILINE,
)
_RATIOS = re.compile(rf"^reduced_latency{_FIGURE}\s+increased throughput{_FIGURE}", re.MULTILINE)
_MODELS = {"e2e_model": "e2e", "context_encoding_model": "prefill", "token_generation_model": "decode_step"}


def read_report(path: Path, artifact: Artifact) -> list[Run]:
    """One run of a benchmark_report.json. Raises `UnreadableInput`."""
    try:
        report = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path} is not whole JSON: {error}", "run the benchmark again") from None
    samples = _samples(report if isinstance(report, dict) else {})
    latency = next((each.value for each in samples if each.metric == "e2e_p99_ns"), None)
    if latency is None:
        raise UnreadableInput(f"{path} has no end-to-end latency", "run the benchmark again")
    return [_run(path, artifact, 0, latency / MS, samples, {})]


def read_scores(path: Path, artifact: Artifact) -> list[Run]:
    """A run per line of a score CSV. Raises `UnreadableInput`."""
    rows = list(csv.DictReader(io.StringIO(text_of(path).lstrip("\ufeff"))))
    try:
        return [
            _run(path, artifact, at, float(row["latency"]), (), {k: v for k, v in row.items() if k})
            for at, row in enumerate(rows)
        ] or _nothing(path)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableInput(f"{path} has a line that is no score: {error}", "mend the line") from None


def read_log(path: Path, artifact: Artifact) -> list[Run]:
    """A run per "Final Score" of an evaluation log, with the report printed before it."""
    text, runs, begin = text_of(path), [], 0
    for at, found in enumerate(_SCORE.finditer(text)):
        names = ("final_score", "accuracy", "latency", "throughput", "nki_flop_ratio")
        row: dict[str, Any] = dict(zip(names, found.groups(), strict=True))
        before = text[begin : found.start()]
        try:
            latency, rate = float(row["latency"]), float(row["throughput"])
            if ratios := _RATIOS.search(before):
                row["base_latency"] = latency * float(ratios[1])
                row["base_throughput"] = rate / float(ratios[2])
        except (ValueError, ZeroDivisionError) as error:
            raise UnreadableInput(f"{path} has a damaged score: {error}", "evaluate again") from None
        runs.append(_run(path, artifact, at, latency, _last_report(before), row))
        begin = found.end()
    return runs or _nothing(path)


def _nothing(path: Path) -> list[Run]:
    raise UnreadableInput(f"{path} has no score in it", "the evaluation did not finish: run it again")


def _last_report(text: str) -> tuple[Sample, ...]:
    at = text.rfind('"e2e_model"')
    try:
        return _samples(json.JSONDecoder().raw_decode(text, text.rfind("{", 0, at))[0]) if at > 0 else ()
    except (ValueError, RecursionError, AttributeError):
        return ()


def _samples(report: Mapping[str, Any]) -> tuple[Sample, ...]:
    return tuple(_each_sample(report))


def _each_sample(report: Mapping[str, Any]) -> Iterator[Sample]:
    for model, short in _MODELS.items():
        part = report.get(model)
        for key, raw in part.items() if isinstance(part, dict) else ():
            value = number(raw)
            if value is not None and value > 0 and key.startswith("latency_ms_"):
                yield Sample(f"{short}_{key.removeprefix('latency_ms_')}_ns", 0, value * MS)


def _known(base_ms: float | None) -> tuple[str, int | None]:
    """Target and prompt whose official baseline this is."""
    for target, rows in BASELINES.items():
        for prompt, (latency, _) in rows.items():
            if base_ms is not None and abs(latency - base_ms) < 0.01:
                return target, prompt
    return "unknown", None


def _seq_len(latency_ms: float, tokens_per_s: float | None) -> int | None:
    """The bucket nearest to throughput x latency (the challenge counts prompt and output), within a tenth.

    It is no exact count: the throughput is of the mean latency, the latency the 99th percentile.
    """
    counted = (tokens_per_s or 0.0) * latency_ms / 1e3
    return next((each for each in (64, 128, 256, 640) if abs(counted - each) < each / 10), None)


def _float(row: Mapping[str, Any], name: str) -> float | None:
    try:
        return number(float(row[name]))
    except (KeyError, TypeError, ValueError):
        return None


def _run(
    path: Path,
    artifact: Artifact,
    at: int,
    latency_ms: float,
    samples: tuple[Sample, ...],
    row: Mapping[str, Any],
) -> Run:
    if not 0 < latency_ms < 1e9:
        raise UnreadableInput(f"{path} has a latency of {latency_ms} ms", "evaluate again")
    base, rate = _float(row, "base_latency"), _float(row, "base_throughput")
    target, prompt = _known(base)
    passed = {"1": 1, "True": 1, "0": 0, "False": 0}.get(str(row.get("accuracy")))
    return Run(
        run_id=digest("import", artifact.sha256, at)[:32],
        session=artifact.sha256[:8],
        label=path.stem,
        created_at=_when(row),
        provenance="measured",
        backend="neuron",
        target=target,
        lnc=2,
        prompt=prompt,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=_seq_len(latency_ms, _float(row, "throughput")),
        batch=1,
        kernels={},
        accuracy=passed,
        base_latency_ms=base,
        base_tokens_per_s=rate,
        configuration={"imported": artifact.kind, "score": dict(row)},
        environment={},
        wall_s=0.0,
        samples=(Sample("e2e_ns", 0, latency_ms * MS), *samples),
        artifacts=(artifact,),
        warnings=(P99,),
    )


def _when(row: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(row.get("timestamp"))).replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
