from __future__ import annotations

import numpy as np
import pytest

from kernels.checks import SMALL, cases, error_of, judge
from kernels.references import reference
from kernels.registry import PRESETS, VARIANTS, Variant, variant
from kernels.shapes import BF16, TOP_K, Shapes, group, routing
from kernels.small_model import PREFILL_BUCKET, check_small_model, logit_errors

IN_FP32 = {"router", "lm_head", "lm_head_wide", "lm_head_tiles"}


def by_reference(kernel: Variant, arguments: dict[str, object]) -> tuple[np.ndarray, ...]:
    """What a perfect kernel returns: the reference, in the kernel's types."""
    results = reference(kernel.function, arguments)
    return tuple(
        r
        if r.dtype.kind in "iu" or kernel.function in IN_FP32 or (kernel.function == "norm_router" and i == 2)
        else r.astype(BF16)
        for i, r in enumerate(results)
    )


def small_cases() -> list[tuple[str, str]]:
    return [(v.slot, v.name) for v in VARIANTS]


@pytest.mark.parametrize(("slot", "name"), small_cases())
def test_a_perfect_kernel_passes_and_zeros_or_nan_never_do(slot: str, name: str) -> None:
    kernel = variant(slot, name)
    case = next(c for c in cases(slot, name) if c.name.startswith("small"))
    made = case.make()
    results = by_reference(kernel, made)
    assert judge(case, made, results).passed
    zeros = tuple(np.zeros_like(r) for r in results)
    nothing = tuple(r + 1 if r.dtype.kind in "iu" else np.full(r.shape, np.nan, np.float32) for r in results)
    assert not judge(case, made, zeros).passed
    assert not judge(case, made, nothing).passed
    assert not judge(case, made, results[:-1]).passed


def test_the_error_is_a_share_of_the_largest_expected_value() -> None:
    assert error_of(np.array([1.0, 10.1]), np.array([1.0, 10.0]), atol=0.0) == pytest.approx(0.01)
    assert error_of(np.array([1.0]), np.array([1.0, 2.0])) == float("inf")
    assert error_of(np.zeros(2), np.zeros(2)) == 0.0


def test_routing_chooses_distinct_experts_whose_affinities_sum_to_one() -> None:
    ids, affinities = routing(SMALL, 64, 14, 3)
    assert all(len(set(row)) == TOP_K for row in ids.tolist())
    assert np.allclose(affinities.sum(1), 1.0)
    assert (np.diff(affinities, axis=1) <= 0).all()


def test_padding_routes_alike_and_real_tokens_do_not() -> None:
    ids, _ = routing(Shapes(), 128, 14, 0)
    assert len({tuple(sorted(row)) for row in ids[:14].tolist()}) == 14
    assert len(np.unique(ids[14:])) < 32


def test_grouping_puts_every_choice_in_a_row_of_its_expert() -> None:
    ids, _ = routing(SMALL, 100, 100, 9)
    row_token, slot, block_expert, num_blocks = group(SMALL, ids)
    tokens = np.broadcast_to(np.arange(100)[:, None], slot.shape)
    assert (row_token[slot, 0] == tokens).all()
    assert (block_expert[slot // SMALL.block, 0] == ids).all()
    assert len(np.unique(slot)) == slot.size
    assert num_blocks[0, 0] <= block_expert.shape[0]


@pytest.mark.parametrize("preset", ["baseline", "tuned"])
def test_the_small_model_of_references_matches_transformers(preset: str) -> None:
    verdict = check_small_model(PRESETS[preset], by_reference, steps=3)
    assert verdict.passed, verdict.detail
    assert verdict.error is not None
    assert verdict.error < 0.5


def test_the_small_model_notices_a_wrong_kernel() -> None:
    def off(kernel: Variant, arguments: dict[str, object]) -> tuple[np.ndarray, ...]:
        results = by_reference(kernel, arguments)
        if kernel.slot == "o_proj" and results[0].shape[0] == PREFILL_BUCKET:
            return (np.roll(results[0], 1, axis=1),)
        return results

    assert not check_small_model(PRESETS["baseline"], off, steps=0).passed


def test_a_shift_of_all_logits_is_no_error() -> None:
    expected = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    assert max(logit_errors(expected + 3.0, expected).values()) < 1e-5
    assert logit_errors(expected * 1.2, expected)[5] > 0.03
