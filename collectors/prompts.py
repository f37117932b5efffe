"""The challenge's prompts: their real token counts and the official baselines they are scored against.

Source: aws-neuron/nki-moe, prompts.txt and prompt_data_trn2.csv, prompt_data_trn3.csv at commit f742418 (trn3
figures of 2026-04-15). The CSV's context lengths are not Qwen token counts; the counts here are those the
challenge's own logs imply (context-encoding throughput x latency).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collectors.errors import UnreadableInput, UsageError
from collectors.request import Prompt

OFFICIAL_SEQ_LEN = 640
"""The sequence length the official baselines were measured at (main.py's default)."""

OFFICIAL_BATCH = 1
"""The sequences at once they were measured with."""

SOURCE = "aws-neuron/nki-moe prompt_data_{target}.csv, commit f742418, sequence length 640"

TOKENS = {0: 20, 1: 192, 2: 54, 3: 14, 4: 512}
OWN_SEQ_LEN = {0: 64, 1: 256, 2: 128, 3: 64, 4: 640}
BASELINES: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "trn2": {
        0: (12498.0, 51.86),
        1: (9432.19, 70.24),
        2: (12089.08, 54.40),
        3: (12868.67, 50.89),
        4: (3041.92, 217.74),
    },
    "trn3": {
        0: (17138.28, 37.87),
        1: (12427.41, 52.34),
        2: (16208.29, 40.25),
        3: (17177.15, 37.93),
        4: (3871.62, 168.39),
    },
}
"""End-to-end p99 latency in ms and throughput in tokens/s, by target and prompt."""

OPENINGS = {
    0: "How many gifts do I get after the Twelve Days",
    1: "Create a function that takes a string as input and returns the longest palindromic",
    2: "Five friends sit in a row facing north",
    3: "Explain the quote",
    4: "You are a close-reading bot with a great memory",
}
"""How the public prompts begin: a prompt of a clone that begins otherwise has other tokens."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a clone's prompt_data CSV."""

    number: int
    seq_len: int
    latency_ms: float
    tokens_per_s: float


def prompts(numbers: Sequence[int], target: str, contest_dir: Path | None = None) -> tuple[Prompt, ...]:
    """The prompts by number, all known ones when `numbers` is empty. Raises `CollectorError`."""
    known = _from_clone(contest_dir, target) if contest_dir else _published(target)
    wanted = list(dict.fromkeys(numbers)) or sorted(known)
    unknown = [number for number in wanted if number not in known]
    if unknown:
        raise UsageError(
            f"there is no prompt {unknown[0]}",
            f"prompts are {', '.join(map(str, sorted(known)))}; --contest-dir reads others from a clone",
        )
    return tuple(known[number] for number in wanted)


def scored(prompt: Prompt, seq_len: int, batch: int = OFFICIAL_BATCH) -> Prompt:
    """The prompt without its official baseline when that was measured at another length or batch."""
    if (seq_len, batch) == (OFFICIAL_SEQ_LEN, OFFICIAL_BATCH):
        return prompt
    return replace(prompt, base_latency_ms=None, base_tokens_per_s=None)


def _published(target: str) -> dict[int, Prompt]:
    figures = BASELINES[target]
    return {
        number: Prompt(
            number,
            tokens,
            OWN_SEQ_LEN[number],
            *figures[number],
            SOURCE.format(target=target),
        )
        for number, tokens in TOKENS.items()
    }


def _from_clone(folder: Path, target: str) -> dict[int, Prompt]:
    """Prompts of a clone of the challenge: prompts.txt and prompt_data_<target>.csv."""
    texts = _texts(folder / "prompts.txt")
    data = folder / f"prompt_data_{target}.csv"
    rows = {row.number: row for row in _rows(data)} if data.exists() else {}
    return {number: _read_prompt(number, text, rows.get(number), data) for number, text in enumerate(texts)}


def _read_prompt(number: int, text: str, row: _Row | None, data: Path) -> Prompt:
    tokens = count_tokens(number, text)
    if row is None:
        return Prompt(
            number, tokens, OFFICIAL_SEQ_LEN, None, None, f"{data.name} has no prompt {number}", text
        )
    return Prompt(number, tokens, row.seq_len, row.latency_ms, row.tokens_per_s, str(data), text)


def _texts(path: Path) -> list[str]:
    try:
        content = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "--contest-dir is a clone of aws-neuron/nki-moe"
        ) from None
    return [part.strip() for part in re.split(r"\n\s*\n", content.strip()) if part.strip()]


def _rows(path: Path) -> list[_Row]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    try:
        return [_Row(int(line[0]), int(line[2]), float(line[3]), float(line[4])) for line in lines[1:]]
    except (ValueError, IndexError) as error:
        raise UnreadableInput(
            f"{path} is not a prompt table: {error}",
            "its columns are prompt id, context length, sequence length, base latency, base throughput",
        ) from None


def count_tokens(number: int, text: str) -> int:
    """Qwen tokens of a prompt: known for the public ones, else counted by the model's own tokenizer."""
    if number in OPENINGS and text.startswith(OPENINGS[number]):
        return TOKENS[number]
    folder = Path(os.environ.get("NKI_DASHBOARD_MODEL_PATH", "~/Qwen3-30B-A3B/hf_model")).expanduser()
    if not (folder / "tokenizer.json").exists():
        raise UsageError(
            f"prompt {number} is not a public one, and {folder} has no tokenizer to count its tokens",
            "download the tokenizer of Qwen/Qwen3-30B-A3B and name its folder in NKI_DASHBOARD_MODEL_PATH",
        )
    from transformers import AutoTokenizer

    return len(AutoTokenizer.from_pretrained(str(folder), local_files_only=True)(text)["input_ids"])
