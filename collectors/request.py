"""What was asked of `collectors profile`, as plain values both backends take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of the challenge: its real tokens and the official baseline it is scored against.

    `text` is None unless a clone of the challenge was given. `base_source` says where the baseline's numbers
    come from. `recommended_seq_len` is the prompt's own sequence length.
    """

    number: int
    tokens: int
    recommended_seq_len: int
    base_latency_ms: float | None
    base_tokens_per_s: float | None
    base_source: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """One prompt to profile. `kernels` maps every slot to a variant; `repeat` counts repetitions (data seeds
    `seed`, `seed + 1`, ... on the simulator).
    """

    prompt: Prompt
    seq_len: int
    kernels: Mapping[str, str]
    kernels_text: str
    target: str
    session: str
    label: str
    batch: int = 1
    repeat: int = 1
    seed: int = 0
    lnc: int = 2
    accuracy: bool = True


@dataclass(frozen=True, slots=True)
class KernelRequest:
    """One kernel of one file to profile on given arguments.

    `arguments` are NumPy arrays or scalars by parameter name; `argument_texts` what was typed for each;
    `paths` further folders its imports are looked for in; `peers` the arguments of further ranks.
    """

    file: str
    function: str
    arguments: Mapping[str, Any]
    target: str
    session: str
    label: str
    lnc: int = 2
    repeat: int = 1
    seed: int = 0
    argument_texts: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    peers: tuple[Mapping[str, Any], ...] = ()
