"""Qwen3-30B-A3B as the collectors see it: which kernel fills which slot, on which shapes, how often.

Per rank at tensor-parallel degree 4. What no kernel does is there as an estimate with its formula.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kernels import estimates, plugged, registry
from kernels.arguments import arguments
from kernels.errors import UnsupportedShape
from kernels.estimates import Estimated
from kernels.registry import Variant, kernel_choice, resolve
from kernels.shapes import RANK, TOP_K, Shapes, Situation

PLUG_IN = ("NeuronQwen3MoeForCausalLM", "NeuronQwen3MoeModel", "Qwen3MoeInferenceConfig")
"""The classes the challenge's main.py loads; they exist where NxD Inference is installed."""

__all__ = ["LAYERS", "SLOTS", "PlannedLaunch", "buckets", "kernel_choice", "plan"]

LAYERS = 48
ALL_REDUCES = 2
"""Of a layer: after attention and after the experts."""
TARGETS = ("trn2", "trn3")
BATCHES = (1, 4, 8, 16)
FIRST_BUCKET = 128
MAX_SEQ_LEN = 640

SLOTS = (
    "embedding",
    "input_norm",
    "qkv",
    "qk_norm_rope",
    "kv_update",
    "attention_prefill",
    "attention_decode",
    "o_proj",
    "all_reduce",
    "post_norm",
    "router",
    "group_tokens",
    "experts_prefill",
    "experts_decode",
    "aggregate",
    "final_norm",
    "lm_head",
    "sampling",
    "host",
)
"""Every row of a plan, in the order the model runs them."""

EXPERTS = frozenset({"experts_prefill", "experts_decode"})
STATIONARY = frozenset({"resident", "active"})
"""Prefill experts that compute every token for every expert they run."""

PER_LAYER = frozenset(registry.SLOTS) - {"final_norm", "lm_head"}


@dataclass(frozen=True, slots=True)
class PlannedLaunch:
    """A kernel launch, or an estimated row, and how many times the prompt needs it.

    `bucket` is None for decode kernels that do not depend on the cache length. `arguments` takes a seed and
    returns the kernel's arguments by name. `time_ns` to `least_ns` are set on estimates only. `macs` are the
    multiply-accumulates of one launch as the challenge counts them: dense mathematics on whole buckets and
    whole blocks, whatever is padding; `needed_macs`, on launches that run experts,
    counts real tokens with the experts they chose and no more. `nki` says that the NxD Inference plug-in runs
    the kernel too, so that its MACs count as NKI's in the challenge.
    """

    slot: str
    covers: tuple[str, ...]
    variant: str
    phase: str
    bucket: int | None
    count: int
    nki: bool
    module: str | None = None
    function: str | None = None
    arguments: Callable[[int], dict[str, Any]] | None = field(default=None, compare=False)
    time_ns: int | None = None
    low_ns: int | None = None
    high_ns: int | None = None
    formula: str | None = None
    least_ns: int | None = None
    macs: int | None = None
    needed_macs: int | None = None


def buckets(seq_len: int) -> tuple[int, ...]:
    """Sequence lengths a graph is compiled for: 128, 256, ... below 2 ** round(log2(seq_len)), then seq_len,
    as NxD Inference's `generate_buckets` has them; 640 gives (128, 256, 640). Raises `UnsupportedShape`.
    """
    if not 2 <= seq_len <= MAX_SEQ_LEN or (seq_len > FIRST_BUCKET and seq_len % FIRST_BUCKET):
        raise UnsupportedShape(
            f"sequence length {seq_len} is not supported",
            f"use 2 to {FIRST_BUCKET}, or a multiple of {FIRST_BUCKET} up to {MAX_SEQ_LEN}",
        )
    if seq_len <= FIRST_BUCKET:
        return (seq_len,)
    return (*(2**power for power in range(7, round(math.log2(seq_len)))), seq_len)


def bucket_of(length: int, seq_len: int) -> int:
    """The bucket NxD Inference runs a mask of `length` positions in: the first longer one, or all of seq_len.

    A prompt that fills a bucket runs in the next (`ModelWrapper._get_seq_bucket`, "first_fit").
    """
    longer = [bucket for bucket in buckets(seq_len) if length < bucket]
    if longer or length == seq_len:
        return longer[0] if longer else seq_len
    raise UnsupportedShape(
        f"{length} positions do not fit a sequence length of {seq_len}",
        "use a longer --seq-len or a shorter prompt",
    )


def decode_steps(prompt_tokens: int, seq_len: int) -> dict[int, int]:
    """Decode steps per bucket: prefill gives the first new token, each step one more, until seq_len is full.

    The mask of the step that writes position p has the p positions before it.
    """
    steps: dict[int, int] = {}
    for position in range(prompt_tokens, seq_len - 1):
        bucket = bucket_of(position, seq_len)
        steps[bucket] = steps.get(bucket, 0) + 1
    return steps


def macs(
    slot: str, shapes: Shapes, tokens: int, bucket: int, variant: str = "baseline", sequences: int = 1
) -> int:
    """Multiply-accumulates of one launch of `slot` as the challenge counts them.

    Its counter adds up whole matmuls of the compiled graph: attention scores are not halved by causality, and
    prefill experts count every row of every worst-case block (every token for every expert where tokens stay
    resident). A decode step of several sequences has a token of each, and experts in blocks as prefill has.
    """
    head, expert = 128, 3 * shapes.hidden * shapes.inner
    rows = shapes.experts * tokens if variant in STATIONARY else shapes.blocks(tokens) * shapes.block
    chosen = TOP_K if sequences == 1 else rows
    table = {
        "qkv": tokens * shapes.hidden * shapes.columns,
        "attention_prefill": 2 * shapes.heads * tokens * tokens * head,
        "attention_decode": 2 * sequences * shapes.heads * bucket * head,
        "o_proj": tokens * shapes.heads * head * shapes.hidden,
        "router": tokens * shapes.hidden * shapes.experts,
        "experts_prefill": rows * expert,
        "experts_decode": chosen * expert,
        "lm_head": sequences * shapes.hidden * shapes.vocabulary,
    }
    return table.get(slot, 0)


def _kernel_row(
    kernel: Variant, phase: str, at: Situation, bucket: int | None, count: int, sequences: int
) -> PlannedLaunch:
    """A row of a generate() call of so many sequences; prefill runs them one at a time."""
    per_layer = kernel.slot in PER_LAYER
    shapes = RANK.for_sequences(at.sequences)
    counted = partial(macs, shapes=shapes, tokens=at.tokens, bucket=at.bucket, sequences=at.sequences)
    return PlannedLaunch(
        slot=kernel.slot,
        covers=kernel.covers,
        variant=kernel.name,
        phase=phase,
        bucket=bucket,
        count=count * (LAYERS if per_layer else 1),
        nki=plugged.plugs(kernel, sequences),
        module=kernel.module,
        function=kernel.function,
        arguments=partial(arguments, kernel, RANK, at),
        macs=sum(counted(slot, variant=kernel.base) for slot in kernel.covers),
        needed_macs=_needed(kernel, at) if not EXPERTS.isdisjoint(kernel.covers) else None,
    )


def _needed(kernel: Variant, at: Situation) -> int:
    """Multiply-accumulates of one launch for real tokens, each with the experts it chose."""
    rest = (slot for slot in kernel.covers if slot not in EXPERTS)
    others = sum(macs(slot, RANK, at.real, at.bucket, sequences=at.sequences) for slot in rest)
    return at.real * TOP_K * 3 * RANK.hidden * RANK.inner + others


def _estimated_row(
    slot: str, phase: str, bucket: int | None, count: int, estimate: Estimated
) -> PlannedLaunch:
    return PlannedLaunch(
        slot=slot,
        covers=(slot,),
        variant="estimate",
        phase=phase,
        bucket=bucket,
        count=count,
        nki=False,
        time_ns=estimate.time_ns,
        low_ns=estimate.low_ns,
        high_ns=estimate.high_ns,
        formula=estimate.formula,
        least_ns=estimate.least_ns,
        macs=0,
    )


def _estimated_rows(
    phase: str, bucket: int | None, tokens: int, steps: int, kernels: Sequence[Variant], sequences: int = 1
) -> list[PlannedLaunch]:
    """Embedding, all-reduces no kernel runs itself, and sampling, for `steps` executions of the graph.

    There are two all-reduces a layer; layers that run theirs leave the last one's sum to the graph.
    """
    inside = sum(kernel.all_reduces for kernel in kernels)
    outside = (ALL_REDUCES - inside) * LAYERS + (1 if inside else 0)
    reduce = estimates.all_reduce(tokens, RANK.hidden)
    return [
        _estimated_row("embedding", phase, bucket, steps, estimates.embedding(tokens, RANK.hidden)),
        _estimated_row("all_reduce", phase, bucket, steps * outside, reduce),
        _estimated_row("sampling", phase, bucket, steps, estimates.sampling(RANK.vocabulary, sequences)),
    ]


def _decode_rows(kernel: Variant, prompt_tokens: int, seq_len: int, batch: int) -> list[PlannedLaunch]:
    """One row per bucket for kernels that read the cache, one for all steps otherwise.

    Routing is one draw for every step; the middle position of a bucket's steps stands for all of them.
    """
    steps = decode_steps(prompt_tokens, seq_len)
    total = sum(steps.values())
    if "attention_decode" not in kernel.covers:
        at = Situation(batch, batch, seq_len, prompt_tokens, batch)
        return [_kernel_row(kernel, "decode", at, None, total, batch)] if total else []
    rows, position = [], prompt_tokens
    for bucket, count in steps.items():
        at = Situation(batch, batch, bucket, position + count // 2, batch)
        rows.append(_kernel_row(kernel, "decode", at, bucket, count, batch))
        position += count
    return rows


def _check(prompt_tokens: int, seq_len: int, batch: int, target: str) -> None:
    if batch not in BATCHES:
        offered = ", ".join(map(str, BATCHES))
        raise UnsupportedShape(f"batch {batch} is not supported", f"the kernels run batches of {offered}")
    if target not in TARGETS:
        raise UnsupportedShape(f"there is no target {target!r}", f"targets are {', '.join(TARGETS)}")
    if not 0 < prompt_tokens < seq_len:
        raise UnsupportedShape(
            f"a prompt of {prompt_tokens} tokens leaves nothing to generate in {seq_len}",
            "use a prompt of at least one token that is shorter than the sequence length",
        )


def plan(
    *, prompt_tokens: int, seq_len: int, batch: int, kernels: Mapping[str, str], target: str
) -> tuple[PlannedLaunch, ...]:
    """Every launch and estimated row of one generate() call: a prefill, then decode until seq_len is full.

    A batch is as many prompts of the same length: a prefill for each, then steps of a token of each.
    `kernels` maps slots to variants (`kernel_choice`). Raises `UnsupportedShape` or `UnknownVariant`.
    """
    _check(prompt_tokens, seq_len, batch, target)
    bucket = bucket_of(prompt_tokens, seq_len)
    steps = sum(decode_steps(prompt_tokens, seq_len).values())
    at = Situation(bucket, prompt_tokens, bucket, prompt_tokens - 1)
    prefill, decode = resolve(kernels, "prefill", bucket), resolve(kernels, "decode", batch)
    rows = [_kernel_row(kernel, "prefill", at, bucket, batch, batch) for kernel in prefill]
    rows += _estimated_rows("prefill", bucket, bucket, batch, prefill)
    if steps:
        for kernel in decode:
            rows += _decode_rows(kernel, prompt_tokens, seq_len, batch)
        rows += _estimated_rows("decode", None, batch, steps, decode, batch)
    rows.append(_estimated_row("host", "host", None, seq_len - prompt_tokens, estimates.host(target, batch)))
    order = {slot: place for place, slot in enumerate(SLOTS)}
    phases = ("prefill", "decode", "host")
    return tuple(sorted(rows, key=lambda row: (phases.index(row.phase), order[row.slot], row.bucket or 0)))


def __getattr__(name: str) -> Any:
    """The plug-in classes, imported from NxD Inference on first use."""
    if name not in PLUG_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module("kernels.neuron_model")
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"{name} needs {missing.name}, which is not installed; "
            "install neuronx-distributed-inference from AWS's index on a Neuron machine"
        ) from missing
    return getattr(module, name)
