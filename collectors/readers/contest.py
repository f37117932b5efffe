"""What the challenge's own programs write: benchmark_report.json, score CSV and evaluation log.

Their formats are those of aws-neuron/nki-moe main.py.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectors.errors import UnreadableInput
from collectors.readers.accuracy import checks_of
from collectors.readers.evaluation import MODELS, Evaluation, Report, of_score
from collectors.readers.files import text_of
from collectors.readers.normalise import number
from collectors.records import Artifact

MAX_MS = 1e9
AGAIN = "run the benchmark again"
_FIGURE = r"[ \t:]+([-+0-9.eE]+|True|False)"
_SCORE = re.compile(
    rf"^Final Score{_FIGURE}\s+Accuracy{_FIGURE}\s+Latency{_FIGURE}\s+Throughput{_FIGURE}\s+"
    rf"NKI FLOPs Ratio{_FIGURE}",
    re.MULTILINE,
)
_RATIOS = re.compile(rf"^reduced_latency{_FIGURE}\s+increased throughput{_FIGURE}", re.MULTILINE)
_NAMES = ("final_score", "accuracy", "latency", "throughput", "nki_flop_ratio")


def read_report(path: Path, artifact: Artifact) -> list[Evaluation]:
    """The evaluation of a benchmark_report.json. Raises `UnreadableInput`."""
    try:
        content = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path} is not whole JSON: {error}", AGAIN) from None
    report = _report(content)
    if "latency_ms_p99" not in report.get("e2e", {}):
        raise UnreadableInput(f"{path} has no end-to-end latency", AGAIN)
    return [_checked(path, Evaluation(path.stem, artifact.sha256, artifact.kind, (artifact,), report))]


def read_scores(path: Path, artifact: Artifact) -> list[Evaluation]:
    """An evaluation per line of a score CSV. Raises `UnreadableInput`."""
    rows = list(csv.DictReader(io.StringIO(text_of(path).lstrip("\ufeff"))))
    found = []
    for at, row in enumerate(rows):
        if of_score(row, "latency") is None:
            raise UnreadableInput(f"{path}, line {at + 2} has no latency that is a number", "mend the line")
        score = {key: value for key, value in row.items() if key}
        found.append(_of_row(path, artifact, at, score=score))
    return _named(path, found)


def read_log(path: Path, artifact: Artifact) -> list[Evaluation]:
    """An evaluation per "Final Score" of a log, with the report and the accuracy printed before it.

    A report after the last score, or without any, is an evaluation without a score. Raises
    `UnreadableInput`.
    """
    text, found, begin = text_of(path), [], 0
    for at, said in enumerate(_SCORE.finditer(text)):
        score: dict[str, Any] = dict(zip(_NAMES, said.groups(), strict=True))
        before = text[begin : said.start()]
        latency, rate = of_score(score, "latency"), of_score(score, "throughput")
        if latency is None or rate is None:
            raise UnreadableInput(f"{path} has a damaged score: {said.group(0)[:60]!r}", "evaluate again")
        found.append(
            _of_row(path, artifact, at, _last_report(before), score | _base(before, latency, rate), before)
        )
        begin = said.end()
    if rest := _last_report(text[begin:]):
        found.append(_of_row(path, artifact, len(found), rest, {}, text[begin:]))
    return _named(path, found)


def read_accuracy(path: Path, artifact: Artifact) -> list[Evaluation]:
    """The checks of a logit validation's status text. Raises `UnreadableInput`."""
    checks = checks_of(text_of(path))
    if not checks:
        raise UnreadableInput(f"{path} is cut off before the verdict of its validation", "validate again")
    return [Evaluation(path.stem, artifact.sha256, artifact.kind, (artifact,), checks=checks)]


def _of_row(
    path: Path,
    artifact: Artifact,
    at: int,
    report: Report | None = None,
    score: Mapping[str, Any] | None = None,
    text: str = "",
) -> Evaluation:
    return _checked(
        path,
        Evaluation(
            name=f"{path.stem} {at + 1}",
            identity=f"{artifact.sha256}:{at}",
            kind=artifact.kind,
            artifacts=(artifact,),
            report=report or {},
            score=score or {},
            checks=checks_of(text),
        ),
    )


def _checked(path: Path, evaluation: Evaluation) -> Evaluation:
    latency = evaluation.p99_ms
    if latency is not None and not 0 < latency < MAX_MS:
        raise UnreadableInput(f"{path} has a latency of {latency} ms", "evaluate again")
    return evaluation


def _base(text: str, latency: float, rate: float) -> dict[str, float]:
    """The official baseline a score was taken against, from the ratios printed before it."""
    said = _RATIOS.search(text)
    try:
        return (
            {"base_latency": latency * float(said[1]), "base_throughput": rate / float(said[2])}
            if said
            else {}
        )
    except (ValueError, ZeroDivisionError):
        return {}


def _named(path: Path, found: list[Evaluation]) -> list[Evaluation]:
    """The evaluations, the only one of a file by the file's name. Raises `UnreadableInput` without any."""
    if not found:
        raise UnreadableInput(f"{path} has no score in it", "the evaluation did not finish: run it again")
    return found if len(found) > 1 else [replace(found[0], name=path.stem)]


def _last_report(text: str) -> Report:
    at = text.rfind('"e2e_model"')
    try:
        return _report(json.JSONDecoder().raw_decode(text, text.rfind("{", 0, at))[0]) if at > 0 else {}
    except (ValueError, RecursionError):
        return {}


def _report(content: Any) -> Report:
    """The models' positive figures under our names; {} of anything else."""
    models = content if isinstance(content, dict) else {}
    return {
        short: {key: value for key, raw in models[model].items() if (value := number(raw)) and value > 0}
        for model, short in MODELS.items()
        if isinstance(models.get(model), dict)
    }
