from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels.arguments import arguments
from kernels.checks import RTOL_BF16, Case, cases, error_of, judge
from kernels.checks import SMALL as SMALL_SHAPES
from kernels.references import reference
from kernels.registry import PRESETS, VARIANTS, Variant, kernel_choice, variant
from kernels.shapes import RANK, Situation
from kernels.small_model import check_small_model
from simulator.api import Simulation, simulate
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute
from simulator.trace import Transfer

Results = tuple[np.ndarray[Any, Any], ...]


def run(function: str, module: str, made: dict[str, Any], target: str = "trn3", lnc: int = 2) -> Results:
    return execute(KernelRef(function, module=module), made, target=target, lnc=lnc).results


def run_kernel(kernel: Variant, made: dict[str, Any]) -> Results:
    return run(kernel.function, kernel.module, made)


def check(case: Case, **how: Any) -> None:
    made = case.make()
    verdict = judge(case, made, run(case.function, case.module, made, **how))
    assert verdict.passed, f"{case.name}: {verdict.detail}, error {verdict.error}"


SMALL = [case for v in VARIANTS for case in cases(v.slot, v.name) if case.name.startswith("small")]
HEAVY = {"experts_prefill", "experts_prompt", "experts_prefill_grouped"}
ON_RANK_SHAPES = [
    case
    for v in VARIANTS
    for case in cases(v.slot, v.name)
    if case.name.startswith("rank") and case.function not in HEAVY
]


def name_of(case: Case) -> str:
    return f"{case.slot}={case.variant}: {case.name}"


@pytest.mark.parametrize("case", SMALL, ids=name_of)
def test_a_kernel_is_right_on_small_and_awkward_inputs(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", ON_RANK_SHAPES, ids=name_of)
def test_a_kernel_is_right_on_the_shapes_of_a_rank(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("kernel", VARIANTS, ids=lambda v: f"{v.slot}={v.name}")
def test_a_kernel_runs_on_trn2_and_on_one_core(kernel: Variant) -> None:
    case = next(c for c in cases(kernel.slot, kernel.name) if c.name.startswith("small"))
    check(case, target="trn2")
    check(case, lnc=1)


@pytest.mark.parametrize(
    "choice", ["baseline", "tuned", "tuned,attention_decode=cached,experts_decode=routed"]
)
def test_the_small_model_through_the_kernels_matches_transformers(choice: str) -> None:
    verdict = check_small_model(kernel_choice(choice), run_kernel, steps=3)
    assert verdict.passed, verdict.detail


def timed(slot: str, name: str, at: Situation) -> Simulation:
    (kernel,) = [v for v in VARIANTS if v.slot == slot and v.name == name]
    made = arguments(kernel, RANK, at, 1)
    return simulate(KernelRef(kernel.function, module=kernel.module), made)


DECODE = Situation(1, 1, 640, 400)


@pytest.mark.parametrize(
    "slot",
    [slot for slot, name in PRESETS["tuned"].items() if name != "baseline" and slot != "experts_prefill"],
)
def test_a_tuned_kernel_takes_less_time_than_the_baselines_it_covers(slot: str) -> None:
    name = PRESETS["tuned"][slot]
    (kernel,) = [v for v in VARIANTS if v.slot == slot and v.name == name]
    at = DECODE if "decode" in kernel.phases else Situation(128, 14, 128, 13)
    tuned = timed(slot, name, at).as_written.duration_ns
    plain = sum(timed(covered, "baseline", at).as_written.duration_ns for covered in kernel.covers)
    assert tuned < plain


def dynamic_transfers(simulation: Simulation) -> list[Transfer]:
    """Transfers whose address comes from data: for experts, their weights."""
    moved = [i.transfer for core in simulation.trace.cores for i in core if i.transfer is not None]
    return [t for t in moved if t.dynamic]


CHOSEN = 8 * 3 * 2048 * 192
"""Weights of the eight experts of a token."""


def test_the_prefetched_experts_move_the_same_weights_in_far_fewer_transfers() -> None:
    plain = dynamic_transfers(timed("experts_decode", "baseline", DECODE))
    tuned = dynamic_transfers(timed("experts_decode", "prefetched", DECODE))
    assert sum(t.bytes for t in plain) == sum(t.bytes for t in tuned) == CHOSEN * 2
    assert len(tuned) * 4 < len(plain)


def test_the_cores_of_the_expert_block_move_each_chosen_weight_once_in_long_runs() -> None:
    moved = dynamic_transfers(timed("experts_decode", "block", DECODE))
    assert sum(t.bytes for t in moved) == CHOSEN * 2
    assert min(t.descriptor_bytes for t in moved) >= 2048


def test_fp8_experts_move_half_of_the_bytes() -> None:
    moved = [t for t in dynamic_transfers(timed("experts_decode", "fp8", DECODE)) if t.bytes > 4096]
    assert sum(t.bytes for t in moved) == CHOSEN


def test_attentions_weights_arrive_in_long_runs() -> None:
    trace = timed("attention_decode", "block", DECODE).trace
    large = [i.transfer for i in trace.cores[0] if i.transfer is not None and i.transfer.bytes > 1 << 18]
    assert sum(t.bytes for t in large) == (2048 * 6 + 1024 * 8) * 128 * 2
    assert min(t.descriptor_bytes for t in large) >= 2048


@pytest.mark.parametrize(("name", "sequences"), [("batched", 4), ("batched", 16), ("block_batch", 4)])
def test_an_expert_of_a_batch_leaves_hbm_once_and_one_nobody_chose_never(name: str, sequences: int) -> None:
    at = Situation(sequences, sequences, 640, 400, sequences)
    simulation = timed("experts_decode", name, at)
    moved = [t for t in dynamic_transfers(simulation) if t.bytes > 0]
    (kernel,) = [v for v in VARIANTS if (v.slot, v.name) == ("experts_decode", "batched")]
    chosen = len(np.unique(arguments(kernel, RANK, at, 1)["ids"]))
    assert chosen < 8 * sequences
    assert sum(t.bytes for t in moved) == chosen * 3 * 2048 * 192 * 2


FOUR = Situation(4, 4, 640, 400, 4)


def test_a_batchs_attention_block_takes_less_time_than_the_launches_it_replaces() -> None:
    apart = (("qkv", "fused"), ("kv_update", "batched"), ("attention_decode", "batched"), ("o_proj", "rows"))
    together = timed("attention_decode", "block_batch", FOUR).list_scheduled.duration_ns
    assert together < 0.7 * sum(timed(*each, FOUR).list_scheduled.duration_ns for each in apart)


def test_variants_of_a_slot_route_tokens_to_the_same_experts() -> None:
    given = arguments(variant("experts_decode", "batched"), RANK, FOUR, 1)["ids"]
    makes = arguments(variant("experts_decode", "block_batch"), RANK, FOUR, 1)
    chosen = reference("norm_router", makes | {"weight": makes["router_weight"]})[1]
    assert np.array_equal(np.sort(chosen, axis=1), np.sort(given, axis=1))


@pytest.mark.parametrize("tokens", [32, 96, 384])
def test_online_softmax_takes_any_bucket_the_plug_in_may_ask_for(tokens: int) -> None:
    at = Situation(tokens, tokens, tokens, tokens - 1)
    for block in (128, 512):
        made = arguments(variant("attention_prefill", "online"), SMALL_SHAPES, at, 3) | {"block": block}
        (got,) = run("attention_prefill_online", "kernels.attention_online", made)
        (want,) = reference("attention_prefill_online", made)
        assert error_of(got, want) < RTOL_BF16


def test_a_short_prompt_skips_the_experts_no_token_chose() -> None:
    at = Situation(128, 14, 128, 13)
    every, chosen = (timed("experts_prefill", name, at) for name in ("resident", "active"))
    assert chosen.as_written.duration_ns < every.as_written.duration_ns
