"""What a path holds, by its content: names and endings are not trusted."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from collectors.errors import UnreadableInput
from collectors.readers.accuracy import SIGN as ACCURACY

HEAD_BYTES = 1 << 16

KNOWN = (
    "it reads summary-json, summary-text, --output-format json, a folder of Neuron Explorer parquet tables, "
    "a NEFF with its NTFF, totals of runtime events, and the challenge's benchmark_report.json, score CSV, "
    "evaluation log and accuracy status"
)


class Kind(StrEnum):
    """A format there is a reader for."""

    summary_json = "summary-json"
    summary_text = "summary-text"
    full_json = "full json"
    parquet_folder = "parquet folder"
    benchmark_report = "benchmark report"
    score_csv = "score csv"
    evaluation_log = "evaluation log"
    event_totals = "event totals"
    accuracy_status = "accuracy status"


_SIGNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.score_csv, re.compile(r"\A\ufeff?[^\n]*\bbase_latency\b[^\n]*\bfinal_score\b")),
    (Kind.event_totals, re.compile(r"\A(neuron_\w+\t\w+\t\d+\t\d+|\S+\.neff(\t\d+){7})\r?(\n|\Z)")),
    (Kind.benchmark_report, re.compile(r'\A\s*\{\s*"(?:e2e_model|\w+_model)"\s*:\s*(?:\{|null)')),
    (Kind.summary_json, re.compile(r'^[^"{]*\{\s*"[ns]_[0-9a-f]{6,64}"\s*:\s*\{', re.MULTILINE)),
    (Kind.full_json, re.compile(r'\A\s*\{\s*"\w+"\s*:\s*\[')),
    (Kind.summary_text, re.compile(r"^[ns]_[0-9a-f]{6,64}[ \t]*\r?\n[ \t]+\w+", re.MULTILINE)),
)
"""Tried in order on the first 64 KiB of text."""

_RELATIVES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"\APrompt ID, *Context Length,"),
        "the challenge's table of prompts and baselines, not a measurement",
        "collectors profile --contest-dir reads it from a clone of the challenge",
    ),
    (
        re.compile(r"\A\s*(\{|\[)"),
        "JSON of no format the import knows",
        KNOWN,
    ),
)
"""What is close to something the import reads: its sign, what it is, what to do."""

_LOG = re.compile(rb'^Final Score:|^\s*"e2e_model":|Beginning benchmark sampling', re.MULTILINE)


def recognise(path: Path) -> Kind:
    """The format of a file or folder. Raises `UnreadableInput` with what it looks like instead."""
    if path.is_dir():
        return _folder(path)
    head = _head(path)
    text = head.decode("utf-8", "replace")
    for kind, sign in _SIGNS:
        if sign.search(text):
            return kind
    if _LOG.search(head) or _later(path):
        return Kind.evaluation_log
    if ACCURACY.search(text):
        return Kind.accuracy_status
    for sign, what, hint in _RELATIVES:
        if sign.search(text):
            raise UnreadableInput(f"{path} is {what}", hint)
    raise UnreadableInput(f"{path} is {_looks_like(head)}", _hint(head))


def _folder(path: Path) -> Kind:
    if any(path.glob("*.parquet")):
        return Kind.parquet_folder
    raise UnreadableInput(
        f"{path} holds no parquet tables", "name the folder that has Instruction.parquet and Summary.parquet"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise UnreadableInput(f"cannot read {path}: {error.strerror}", "check the path") from None


def _later(path: Path) -> bool:
    """Whether a log that begins with pages of compiler output has an evaluation further on."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            if b"\0" in chunk:
                return False
            if _LOG.search(before + chunk):
                return True
            before = chunk[-200:]
    return False


def _looks_like(head: bytes) -> str:
    if not head.strip():
        return "empty"
    if head.startswith(b"PAR1"):
        return "one parquet table"
    if b"\0" in head[:4096]:
        return "a binary file no reader knows (a NEFF or NTFF has to be processed first)"
    return "no format the import knows"


def _hint(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "name the folder the table is in; one table alone is not a profile"
    if b"\0" in head[:4096]:
        return (
            "neuron-explorer view -n FILE.neff -s FILE.ntff --output-format summary-json makes one to import"
        )
    return KNOWN
