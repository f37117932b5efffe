from __future__ import annotations

import inspect

import pytest

from kernels import registry
from kernels.arguments import MAKERS, arguments
from kernels.errors import UnknownVariant
from kernels.references import REFERENCES
from kernels.registry import (
    PRESETS,
    SLOTS,
    VARIANTS,
    Variant,
    kernel_choice,
    phases_of,
    resolve,
    slots_of,
    variant,
)
from kernels.shapes import RANK, Situation
from kernels.wiring import WIRING
from simulator.kernel_ref import KernelRef
from simulator.loading import load


def test_every_slot_has_a_baseline() -> None:
    assert {v.slot for v in VARIANTS if v.name == "baseline"} == set(SLOTS)


def test_every_variant_has_arguments_a_reference_and_a_place_in_the_small_model() -> None:
    for one in VARIANTS:
        assert one.function in MAKERS
        assert one.function in REFERENCES
        assert (one.slot, one.function) in WIRING


def test_a_variant_covers_its_own_slot() -> None:
    assert all(v.slot in v.covers for v in VARIANTS)


def test_an_unknown_variant_names_the_known_ones() -> None:
    with pytest.raises(UnknownVariant) as caught:
        variant("qkv", "turbo")
    assert "turbo" in caught.value.message
    assert "fused" in caught.value.hint


def test_an_unknown_slot_names_the_slots() -> None:
    with pytest.raises(UnknownVariant, match="softmax"):
        kernel_choice("softmax=baseline")


def test_a_choice_without_a_slot_is_refused() -> None:
    with pytest.raises(UnknownVariant, match="fastest"):
        kernel_choice("fastest")


def test_a_choice_starts_from_the_baseline() -> None:
    choice = kernel_choice("qkv=fused")
    assert choice["qkv"] == "fused"
    assert {name for slot, name in choice.items() if slot != "qkv"} == {"baseline"}


def test_a_choice_can_start_from_a_preset() -> None:
    choice = kernel_choice("tuned, o_proj=baseline")
    assert choice == {**PRESETS["tuned"], "o_proj": "baseline"}


@pytest.mark.parametrize("preset", ["baseline", "tuned"])
@pytest.mark.parametrize(("phase", "tokens"), [("prefill", 128), ("prefill", 640), ("decode", 1)])
def test_every_slot_of_a_phase_is_filled_exactly_once(preset: str, phase: str, tokens: int) -> None:
    filled = [slot for v in resolve(PRESETS[preset], phase, tokens) for slot in v.covers]
    assert sorted(filled) == sorted(slot for slot in SLOTS if phase in phases_of(slot))


def test_a_variant_beyond_its_tokens_gives_way() -> None:
    names = {v.slot: v.name for v in resolve(PRESETS["tuned"], "prefill", 256)}
    assert names["experts_prefill"] == "grouped"
    assert names["group_tokens"] == "baseline"


@pytest.mark.parametrize("preset", ["baseline", "tuned"])
def test_several_sequences_run_nothing_that_takes_one(preset: str) -> None:
    found = resolve(PRESETS[preset], "decode", 8)
    assert not [v.name for v in found if v.several is not None]
    assert sorted(slot for v in found for slot in v.covers) == sorted(slots_of("decode", 8))


def test_a_variant_for_several_sequences_is_refused_for_one() -> None:
    with pytest.raises(UnknownVariant, match="lm_head=batched is for several sequences") as caught:
        resolve({"lm_head": "batched"}, "decode")
    assert "--batch" in caught.value.hint
    assert resolve({"lm_head": "batched"}, "decode", 4)[-1].name == "batched"


def test_two_variants_for_one_slot_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = registry.Variant("o_proj", "greedy", "m", "f", ("o_proj", "post_norm"), "")
    monkeypatch.setattr(registry, "VARIANTS", (*VARIANTS, greedy))
    with pytest.raises(UnknownVariant, match="both fill post_norm"):
        resolve({"o_proj": "greedy", "router": "fused"}, "decode")


def test_a_variant_that_covers_all_of_another_takes_its_place() -> None:
    choice = kernel_choice("tuned,experts_decode=routed")
    decode = {v.slot: v.name for v in resolve(choice, "decode")}
    assert decode["experts_decode"] == "routed"
    assert "router" not in decode
    assert {v.slot: v.name for v in resolve(choice, "prefill")}["router"] == "fused"


TUNABLE = [one for one in VARIANTS if one.parameters]


@pytest.mark.parametrize("one", TUNABLE, ids=lambda v: f"{v.slot}={v.name}")
def test_a_declared_parameter_is_a_keyword_of_the_kernel_with_the_same_default(one: Variant) -> None:
    function = load(KernelRef(one.function, module=one.module))
    signature = inspect.signature(getattr(function, "func", function))
    for parameter in one.parameters:
        assert signature.parameters[parameter.name].default == parameter.default
        assert parameter.default in parameter.choices
        assert len(set(parameter.choices)) == len(parameter.choices) > 1


def test_a_variant_with_settings_runs_with_them_and_keeps_its_place() -> None:
    one = variant("lm_head", "wide:queues=software:buffers=4")
    assert one.name == "wide:buffers=4:queues=software"
    assert one.base == "wide"
    made = arguments(one, RANK, Situation(1, 1, 128, 0), 0)
    assert (made["buffers"], made["queues"]) == (4, "software")
    assert "columns" not in made
    assert kernel_choice("tuned,lm_head=wide:buffers=4")["lm_head"] == "wide:buffers=4"


def test_a_setting_that_is_the_default_leaves_no_trace() -> None:
    assert variant("lm_head", "wide:buffers=3") == variant("lm_head", "wide")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wide:depth=4", "its parameters are: columns, buffers, queues"),
        ("wide:buffers=5", "its choices are 2, 3, 4, 6"),
        ("wide:buffers", "its choices are 2, 3, 4, 6"),
        ("baseline:buffers=2", "its parameters are: none"),
    ],
)
def test_a_setting_that_does_not_exist_names_those_that_do(name: str, told: str) -> None:
    with pytest.raises(UnknownVariant) as caught:
        variant("lm_head", name)
    assert caught.value.hint == told
