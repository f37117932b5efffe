"""What no kernel does, as formulas with numbers: embedding, all-reduce, sampling, host time.

Sources are public measurements. Each estimate carries low and high, and its formula as a sentence; none is
fitted to a total.
"""

from __future__ import annotations

from dataclasses import dataclass

US = 1_000
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Estimated:
    """Nanoseconds, expected and bounds, and the sentence that says where they come from.

    `least_ns` is what the same step takes under other settings than the challenge's, where it was measured.
    """

    time_ns: int
    low_ns: int
    high_ns: int
    formula: str
    least_ns: int | None = None


COLLECTIVE_LOW_US, COLLECTIVE_US, COLLECTIVE_HIGH_US = 9.1, 12.0, 18.7
"""One small collective over four ranks. 12: trn2 step budget "AR 12 x 96" of the profile published with
KevGomes1403/nki-moe-megakernel. Low and high: the same repository's trn3 README, 13.5-27.8 % of a 134.5 us
layer with two collectives."""

LINK_GB_S = 128.0
"""Bandwidth assumed per rank inside a server: half of the 256 GB/s a Trn3 chip has to its neighbours (Neuron
docs, trn3 architecture); low and high halve and double it."""

RANKS = 4
RING = 2 * (RANKS - 1) / RANKS
"""Bytes a rank sends in a ring all-reduce, over the bytes reduced."""

HOST_MS_PER_TOKEN = {"trn2": 7.0, "trn3": 12.0}
"""Host time per token under the challenge's default flags (logits copied to the CPU, sampled there). trn2:
14.2 ms a token end to end less its profiled device time, from a published log of the stock model
(whn09/nki-moe). trn3: 26.4 ms a token of the official baseline less 14.37 ms of the same model measured with
on-device sampling (KevGomes1403/nki-moe-megakernel)."""

HOST_LOW_MS, HOST_HIGH_MS = min(HOST_MS_PER_TOKEN.values()), max(HOST_MS_PER_TOKEN.values())
"""The two host times derived for the default flags bound each other."""

HOST_LEAST_MS = 1.26
"""With on-device sampling: the framework share of a trn2 step (same repository)."""


def _wire(bytes_moved: float) -> float:
    return bytes_moved / LINK_GB_S


def _collective(bytes_moved: float, what: str) -> Estimated:
    wire = _wire(bytes_moved)
    return Estimated(
        round(COLLECTIVE_US * US + wire),
        round(COLLECTIVE_LOW_US * US + wire / 2),
        round(COLLECTIVE_HIGH_US * US + 2 * wire),
        f"{COLLECTIVE_US:g} us per collective of 4 ranks (trn2 profile; trn3 {COLLECTIVE_LOW_US:g}-"
        f"{COLLECTIVE_HIGH_US:g}) + {what} at {LINK_GB_S:g} GB/s (halved and doubled for the bounds)",
    )


def all_reduce(tokens: int, hidden: int) -> Estimated:
    """Sum of [tokens, hidden] bf16 over four ranks."""
    size = tokens * hidden * 2
    return _collective(RING * size, f"ring traffic 2 x 3/4 x {size:,} B")


def embedding(tokens: int, hidden: int) -> Estimated:
    """Each rank gathers its quarter of the rows' columns, then an all-gather."""
    size = tokens * hidden * 2
    base = _collective(size * (RANKS - 1) / RANKS, f"all-gather of 3/4 x {size:,} B")
    gather = 2 * US + 60 * tokens
    return Estimated(
        base.time_ns + gather,
        base.low_ns + gather // 2,
        base.high_ns + 2 * gather,
        f"2 us DMA latency + 60 ns per gathered row x {tokens} + {base.formula}",
    )


def sampling(vocabulary: int, sequences: int = 1) -> Estimated:
    """Logits of all ranks gathered for the host: [sequences, vocabulary] fp32 per rank, four ranks."""
    size = sequences * vocabulary * RANKS * 4
    return _collective(size * (RANKS - 1) / RANKS, f"all-gather of 3/4 x {size:,} B of fp32 logits")


def host(target: str, sequences: int = 1) -> Estimated:
    """Host time of one step under the challenge's default flags: a generated token of each sequence.

    Nobody published a batch's. What a step costs once (launching, copying) is taken for all of it; the upper
    bound is the other extreme, all of it once a sequence.
    """
    value = HOST_MS_PER_TOKEN[target]
    how = {
        "trn2": "published log of the stock model on trn2: end-to-end less device time",
        "trn3": "official trn3 baseline 26.4 ms/token less 14.37 measured with on-device sampling",
    }
    return Estimated(
        round(value * MS),
        round(HOST_LOW_MS * MS),
        round(HOST_HIGH_MS * MS) * sequences,
        f"{value:g} ms per token{_step(sequences)}, assuming the challenge's default flags: logits to the "
        f"CPU, sampled there ({how[target]}); {HOST_LEAST_MS:g} ms with on-device sampling",
        round(HOST_LEAST_MS * MS),
    )


def _step(sequences: int) -> str:
    return "" if sequences == 1 else f" step of {sequences} sequences, once a sequence for the upper bound"
