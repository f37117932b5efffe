"""Which models the kernels run, and the checkpoint weights they need beside NxD Inference's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kernels.errors import UnsupportedShape


@dataclass(frozen=True, slots=True)
class KernelDimensions:
    """Dimensions of a whole model, the ranks it is divided over, and its batch."""

    hidden: int
    heads: int
    key_value_heads: int
    head: int
    experts: int
    top_k: int
    inner: int
    ranks: int
    batch: int


def check_dimensions(model: KernelDimensions) -> None:
    """Raise `UnsupportedShape` naming the first dimension the kernels cannot run."""
    rules = (
        (model.batch == 1, f"batch {model.batch}", "batch 1"),
        (model.head == 128, f"heads of {model.head}", "heads of 128"),
        (model.top_k == 8, f"top-{model.top_k} routing", "top-8"),
        (
            model.hidden % 256 == 0 and model.hidden <= 2048,
            f"a hidden size of {model.hidden}",
            "a multiple of 256 up to 2048",
        ),
        (8 <= model.experts <= 512, f"{model.experts} experts", "8 to 512"),
        (
            model.key_value_heads == model.ranks,
            f"{model.key_value_heads} key/value heads on {model.ranks} ranks",
            "one a rank (tensor-parallel degree 4 for Qwen3-30B-A3B)",
        ),
        (
            model.heads % model.ranks == 0,
            f"{model.heads} query heads on {model.ranks} ranks",
            "an equal share",
        ),
        (
            model.inner % model.ranks == 0 and 2 * model.inner // model.ranks <= 512,
            f"experts of width {model.inner} on {model.ranks} ranks",
            "an equal share of at most 256",
        ),
    )
    for holds, found, supported in rules:
        if not holds:
            raise UnsupportedShape(
                f"the kernels do not run {found}; they run {supported}",
                "use a Qwen3-MoE configuration and a tensor-parallel degree that fit",
            )


def add_router_weights(state_dict: dict[str, Any], layers: int, hidden: int, experts: int) -> None:
    """Put each router weight, transposed to [hidden, experts] in bf16, beside the checkpoint's own."""
    for index in range(layers):
        name = f"layers.{index}.mlp.gate.weight"
        weight = state_dict.get(name)
        if weight is None:
            raise UnsupportedShape(f"the checkpoint has no {name}", "use a Qwen3-MoE checkpoint")
        if tuple(weight.shape) != (experts, hidden):
            raise UnsupportedShape(
                f"{name} is {tuple(weight.shape)}, not {(experts, hidden)}",
                "use the checkpoint that belongs to this configuration",
            )
        state_dict[f"layers.{index}.mlp.router_weight"] = weight.t().contiguous().bfloat16()
