"""Is a kernel right? Cases with inputs, and the comparison with the reference.

The error of a result is the challenge's: (|actual - expected| - atol) over the largest |expected|
(aws-neuron/nki-moe through torch-neuronx `neuron_allclose`), with torch's tolerances for the type. Integers
must be equal. A result that is not finite, or is all zeros where the reference is not, fails whatever the
tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arguments import arguments
from kernels.references import Arguments, Array, probabilities, reference, tensor
from kernels.registry import Variant, batched, slots_of, variant
from kernels.shapes import RANK, Shapes, Situation

ATOL = 1e-5
RTOL_BF16 = 1.6e-2
RTOL_FP32 = 1e-3
SMALL = Shapes(hidden=512, heads=4, experts=16, inner=96, vocabulary=1000, cache=256, block=64)
"""Small enough that an awkward input costs little, and ragged: 96 and 1000 are multiples of no tile."""


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one variant: a name, and a function that makes the arguments."""

    name: str
    slot: str
    variant: str
    function: str
    module: str
    make: Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a case. `error` is the worst over the results, as a share of its tolerance's scale."""

    passed: bool
    error: float | None
    tolerance: float
    detail: str


Change = Callable[[dict[str, Any]], None]


def _same_experts(made: dict[str, Any]) -> None:
    """Every token chooses experts 0 to 7."""
    made["ids"][:] = np.arange(8, dtype=made["ids"].dtype)


def _one_token(made: dict[str, Any]) -> None:
    """Every token repeats the first, and chooses what it chooses."""
    made["x"][:] = made["x"][0:1]


def _no_shares(made: dict[str, Any]) -> None:
    """A softmax so sharp that every share but the best is zero."""
    made["affinities"][:] = np.eye(1, made["affinities"].shape[1], dtype=np.float32)


def _ties(made: dict[str, Any]) -> None:
    """Every other expert's router weights repeat its neighbour's, so their logits tie exactly."""
    weight = made["router_weight" if "router_weight" in made else "weight"]
    weight[:, 1::2] = weight[:, 0::2]


def _apart(made: dict[str, Any]) -> None:
    """Sequences of other lengths each, the first of one token, the last as long as before."""
    position = made["position"]
    position[:, 0] = np.linspace(0, int(position[0, 0]), len(position)).astype(position.dtype)


def _large(made: dict[str, Any]) -> None:
    """Queries sixteen times larger: softmax must not overflow."""
    made["q"][:] = (made["q"].astype(np.float32) * 16).astype(made["q"].dtype)


def _large_gain(made: dict[str, Any]) -> None:
    """A q norm ten times larger, to the same end: scores reach 113, and exp overflows at 88.

    More would magnify the bf16 rounding of the norm before the projection beyond any tolerance.
    """
    made["q_weight"][:] = (made["q_weight"].astype(np.float32) * 10).astype(made["q_weight"].dtype)


AWKWARD: dict[str, tuple[tuple[str, Change], ...]] = {
    "router": (("ties", _ties),),
    "router_best": (("ties", _ties),),
    "norm_router": (("ties", _ties),),
    "moe_decode": (("ties", _ties),),
    "moe_block": (("ties", _ties),),
    "moe_block_batch": (("ties", _ties), ("all tokens to the same experts", _one_token)),
    "moe_block_fp8": (("ties", _ties),),
    "group_tokens": (("all tokens to the same experts", _same_experts),),
    "experts_batch": (("all tokens to the same experts", _same_experts), ("shares of zero", _no_shares)),
    "kv_update_batch": (("sequences of other lengths", _apart),),
    "attention_decode_batch": (("large queries", _large), ("sequences of other lengths", _apart)),
    "experts_prompt": (("all tokens to the same experts", _same_experts),),
    "experts_decode": (("experts 0 to 7", _same_experts),),
    "attention_prefill": (("large queries", _large),),
    "attention_prefill_diagonal": (("large queries", _large),),
    "attention_prefill_online": (("large queries", _large),),
    "attention_decode": (("large queries", _large),),
    "attention_decode_cached": (("large queries", _large),),
    "attention_block": (("large queries", _large_gain),),
    "attention_block_batch": (("large queries", _large_gain), ("sequences of other lengths", _apart)),
    "decode_layer": (("ties", _ties),),
}
"""Kernel function to (name, change of the arguments): inputs that break kernels."""

READS_CACHE = frozenset(
    {"attention_decode", "attention_decode_cached", "attention_block", "decode_layer", "kv_update"}
)


def _step(shapes: Shapes, sequences: int, position: int) -> Situation:
    return Situation(sequences, sequences, min(shapes.cache, 640), position, sequences)


def _situations(kernel: Variant, shapes: Shapes) -> list[tuple[str, Situation]]:
    """Prefill of a short prompt and a full bucket; decode in the middle, at the start and end of a bucket,
    and of several sequences.
    """
    found = []
    if "prefill" in kernel.phases:
        found.append(("short prompt", Situation(128, 14, 128, 13)))
        if shapes is SMALL:
            found.append(("full bucket", Situation(256, 256, 256, 255)))
            if kernel.slot == "attention_prefill":
                found.append(("the longest bucket", Situation(640, 640, 640, 639)))
    if batched(kernel):
        return [(f"{count} sequences", _step(shapes, count, 77)) for count in (4, 8, 16)]
    if "decode" in kernel.phases:
        found.append(("one token", Situation(1, 1, min(shapes.cache, 640), 77)))
        if kernel.function in READS_CACHE and shapes is SMALL:
            found.append(("first position", Situation(1, 1, 128, 0)))
            found.append(("end of the bucket", Situation(1, 1, 256, 255)))
            found.append(("a bucket below 128", Situation(1, 1, 64, 40)))
    if shapes is SMALL and kernel.several is None and kernel.slot in slots_of("decode", 4):
        found.append(("4 sequences", _step(shapes, 4, 77)))
    return found


def _case(
    kernel: Variant, shapes: Shapes, name: str, at: Situation, seed: int, change: Change | None = None
) -> Case:
    def make() -> dict[str, Any]:
        made = arguments(kernel, shapes, at, seed)
        if change is not None:
            change(made)
        return made

    return Case(name, kernel.slot, kernel.name, kernel.function, kernel.module, make)


def cases(slot: str, name: str) -> tuple[Case, ...]:
    """All checks of a variant: the per-rank shapes once, then small shapes over seeds and awkward inputs."""
    kernel = variant(slot, name)
    made = [_case(kernel, RANK, f"rank shapes, {where}", at, 1) for where, at in _situations(kernel, RANK)]
    small = _situations(kernel, SMALL)
    if kernel.max_tokens is not None:
        small = [(where, at) for where, at in small if at.tokens <= kernel.max_tokens]
    seeded = [(seed, where, at) for where, at in small[:1] for seed in (2, 3)]
    seeded += [(2, where, at) for where, at in small[1:]]
    made += [_case(kernel, SMALL, f"small, {where}, seed {seed}", at, seed) for seed, where, at in seeded]
    for what, change in AWKWARD.get(kernel.function, ()):
        made += [_case(kernel, SMALL, f"small, {where}, {what}", at, 4, change) for where, at in small]
    return tuple(made)


def error_of(actual: Array, expected: Array, atol: float = ATOL) -> float:
    """The challenge's error; infinite when shapes differ, a value is not finite, or a result is missing."""
    if actual.shape != expected.shape or not np.isfinite(np.asarray(actual, np.float64)).all():
        return float("inf")
    got, want = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = float(np.abs(want).max(initial=0.0))
    if scale == 0.0:
        return 0.0 if not got.any() else float("inf")
    return float(max((np.abs(got - want) - atol).max(), 0.0) / scale)


def _choice_error(made: Arguments, ids: Array) -> float:
    """Probability the chosen experts miss: bf16 rounding may swap experts that almost tie."""
    x = made["x"]
    if "norm_weight" in made:
        x = reference("rmsnorm", {"x": x, "weight": made["norm_weight"], "eps": made["eps"]})[0]
    p = probabilities(tensor(x), tensor(made["weight"])).numpy()
    if any(len(set(row)) != ids.shape[1] for row in ids.tolist()) or ids.max() >= p.shape[1]:
        return float("inf")
    best = -np.sort(-p, axis=1)[:, : ids.shape[1]]
    return error_of(np.take_along_axis(p, ids.astype(np.int64), 1), best)


ROUNDED_CHOICES = {"norm_router": 1, "router_best": 0}
"""Kernels that choose experts from bf16 products, and which of their results the ids are."""


def judge(case: Case, made: Arguments, results: tuple[Array, ...]) -> Verdict:
    """Compare a kernel's results on `made` (what `case.make` gave) with the reference."""
    expected = reference(case.function, made)
    if len(results) != len(expected):
        return Verdict(False, None, RTOL_BF16, f"{len(results)} results, {len(expected)} expected")
    worst = Verdict(True, 0.0, RTOL_BF16, "")
    for place, (got, want) in enumerate(zip(results, expected, strict=True)):
        one = _judge_one(case, made, place, got, want)
        if not one.passed or (worst.passed and (one.error or 0.0) >= (worst.error or 0.0)):
            worst = one
        if not worst.passed:
            break
    return worst


def _judge_one(case: Case, made: Arguments, place: int, got: Array, want: Array) -> Verdict:
    what = f"{case.name}: result {place}"
    if ROUNDED_CHOICES.get(case.function) == place:
        error = _choice_error(made, got)
        return Verdict(error <= RTOL_BF16, error, RTOL_BF16, f"{what}, probability of the chosen experts")
    if np.issubdtype(want.dtype, np.integer):
        wrong = int((got.astype(np.int64) != want).sum()) if got.shape == want.shape else want.size
        return Verdict(wrong == 0, float(wrong), 0.0, f"{what}, {wrong} of {want.size} integers differ")
    tolerance = RTOL_FP32 if case.function == "router" else RTOL_BF16
    error = error_of(got, want)
    if want.any() and not np.asarray(got, np.float32).any():
        return Verdict(False, error, tolerance, f"{what} is all zeros")
    return Verdict(error <= tolerance, error, tolerance, what)
