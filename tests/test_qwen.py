from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import qwen
from kernels.errors import UnsupportedShape
from kernels.registry import SLOTS, phases_of, slots_of

REAL_TOKENS = (20, 192, 54, 14, 512)


def rows(kernels: str = "baseline", tokens: int = 14, seq_len: int = 640) -> tuple[qwen.PlannedLaunch, ...]:
    choice = qwen.kernel_choice(kernels)
    return qwen.plan(prompt_tokens=tokens, seq_len=seq_len, batch=1, kernels=choice, target="trn3")


@pytest.mark.parametrize(
    ("seq_len", "expected"), [(640, (128, 256, 640)), (256, (128, 256)), (128, (128,)), (50, (50,))]
)
def test_buckets_follow_the_sequence_length(seq_len: int, expected: tuple[int, ...]) -> None:
    assert qwen.buckets(seq_len) == expected


@pytest.mark.parametrize("seq_len", [0, 1, 200, 700, 4096])
def test_a_sequence_length_the_kernels_cannot_run_is_refused(seq_len: int) -> None:
    with pytest.raises(UnsupportedShape, match=str(seq_len)):
        qwen.buckets(seq_len)


@pytest.mark.parametrize("tokens", REAL_TOKENS)
def test_decode_steps_fill_the_sequence_and_stay_in_their_bucket(tokens: int) -> None:
    steps = qwen.decode_steps(tokens, 640)
    assert sum(steps.values()) == 640 - tokens - 1
    assert all(bucket >= tokens for bucket in steps)


def test_decode_steps_cross_the_buckets_as_the_cache_grows() -> None:
    assert qwen.decode_steps(14, 640) == {128: 114, 256: 128, 640: 383}


@pytest.mark.parametrize("kernels", ["baseline", "tuned"])
def test_a_plan_fills_every_slot_of_every_layer(kernels: str) -> None:
    for phase, executions in (("prefill", 1), ("decode", 625)):
        for slot in SLOTS:
            if phase in phases_of(slot):
                count = sum(r.count for r in rows(kernels) if r.phase == phase and slot in r.covers)
                once = slot in ("final_norm", "lm_head")
                assert count == executions * (1 if once else qwen.LAYERS), (phase, slot)


def test_a_plan_says_what_no_kernel_does() -> None:
    estimated = [r for r in rows() if not r.nki]
    assert {r.slot for r in estimated} == {"embedding", "all_reduce", "sampling", "host"}
    for row in estimated:
        assert row.formula
        assert row.low_ns is not None
        assert row.time_ns is not None
        assert row.high_ns is not None
        assert row.low_ns <= row.time_ns <= row.high_ns
        assert row.arguments is None


def test_ninety_six_all_reduces_per_token() -> None:
    (decode,) = [r for r in rows() if r.slot == "all_reduce" and r.phase == "decode"]
    assert decode.count == 96 * 625


def test_layers_that_reduce_over_ranks_themselves_leave_one_all_reduce_to_the_graph() -> None:
    whole = rows("tuned,attention_decode=layer")
    (decode,) = [r for r in whole if r.slot == "all_reduce" and r.phase == "decode"]
    assert decode.count == 625
    assert not [r for r in whole if r.slot == "experts_decode"]


def test_a_prompt_that_fills_a_bucket_runs_in_the_next() -> None:
    assert [qwen.bucket_of(length, 640) for length in (127, 128, 255, 256, 639, 640)] == [
        128,
        256,
        256,
        640,
        640,
        640,
    ]
    with pytest.raises(UnsupportedShape, match="641 positions"):
        qwen.bucket_of(641, 640)


def test_a_longer_prompt_prefills_in_a_larger_bucket() -> None:
    assert {r.bucket for r in rows(tokens=192) if r.phase == "prefill"} == {256}
    assert {r.bucket for r in rows(tokens=512) if r.phase == "prefill"} == {640}


def test_arguments_follow_the_seed_and_the_rank_shapes() -> None:
    (row,) = [r for r in rows() if r.slot == "qkv" and r.phase == "decode"]
    assert row.arguments is not None
    one, same, other = row.arguments(1), row.arguments(1), row.arguments(2)
    assert one["x"].shape == (1, 2048)
    assert one["weight"].shape == (2048, 1280)
    assert np.array_equal(one["weight"], same["weight"])
    assert not np.array_equal(one["weight"], other["weight"])


def test_decode_macs_are_those_of_the_weights_read() -> None:
    """One token multiplies every weight of its eight experts and its projections once."""
    per_layer = sum(
        (r.macs or 0)
        for r in rows()
        if r.phase == "decode" and r.slot in ("qkv", "o_proj", "router", "experts_decode")
    )
    assert per_layer == 2048 * 1280 + 1024 * 2048 + 2048 * 128 + 8 * 3 * 2048 * 192


@pytest.mark.parametrize("batch", [4, 8, 16])
@pytest.mark.parametrize("preset", ["baseline", "tuned"])
def test_a_batch_prefills_each_sequence_and_decodes_all_in_one_step(preset: str, batch: int) -> None:
    choice = qwen.kernel_choice(preset)
    one, many = (
        qwen.plan(prompt_tokens=14, seq_len=640, batch=b, kernels=choice, target="trn3") for b in (1, batch)
    )
    prefill = [(r.slot, r.count) for r in one if r.phase == "prefill"]
    assert [(r.slot, r.count) for r in many if r.phase == "prefill"] == [(s, n * batch) for s, n in prefill]
    heads = [r.count for p in (one, many) for r in p if (r.phase, r.slot) == ("decode", "lm_head")]
    assert heads == [625, 625]
    covered = [slot for r in many if r.phase == "decode" and r.module for slot in r.covers]
    assert set(covered) == set(slots_of("decode", batch))


def test_experts_of_a_batch_need_what_its_tokens_chose() -> None:
    needed = {}
    for batch in (1, 16):
        rows = qwen.plan(
            prompt_tokens=14, seq_len=640, batch=batch, kernels=qwen.kernel_choice("baseline"), target="trn3"
        )
        (experts,) = [r for r in rows if (r.phase, r.slot) == ("decode", "experts_decode")]
        needed[batch] = experts.needed_macs
        assert experts.macs is not None
        assert experts.macs >= (experts.needed_macs or 0)
    assert needed[16] == 16 * (needed[1] or 0) > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": 2}, "batch 2"),
        ({"target": "trn9"}, "trn9"),
        ({"prompt_tokens": 640}, "640 tokens"),
        ({"prompt_tokens": 0}, "0 tokens"),
    ],
)
def test_what_the_kernels_cannot_run_is_refused(change: dict[str, object], words: str) -> None:
    usual: dict[str, object] = {"prompt_tokens": 14, "seq_len": 640, "batch": 1, "target": "trn3"}
    with pytest.raises(UnsupportedShape, match=words) as caught:
        qwen.plan(kernels=qwen.kernel_choice("baseline"), **(usual | change))  # type: ignore[arg-type]
    assert caught.value.hint


def test_describing_the_model_imports_no_kernel_and_no_torch() -> None:
    code = "import sys, qwen; print([m for m in ('nki', 'torch', 'kernels.qkv') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_plug_in_without_nxd_inference_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match=r"neuronx-distributed-inference"):
        _ = qwen.NeuronQwen3MoeForCausalLM


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="speed"):
        _ = qwen.speed
