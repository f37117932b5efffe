"""Parts the plug-in's modules share: which kernels run, launching one, and weights laid out rank by rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from neuronx_distributed.parallel_layers.layers import BaseParallelLinear
from neuronx_distributed.parallel_layers.utils import set_tensor_model_parallel_attributes
from torch import nn

from kernels.errors import UnsupportedShape
from kernels.functions import function_of
from kernels.plugged import rows_of
from kernels.registry import Variant
from kernels.wiring import named_arguments, named_results, reads

CORES = 2


def kernels_for(choice: Mapping[str, str], part: str, phase: str, tokens: int) -> tuple[Variant, ...]:
    """The kernels of a part on so many tokens, in order; raises `UnsupportedShape` beyond the longest."""
    rows = rows_of(choice, part, phase)
    for most, kernels in rows:
        if tokens <= most:
            return kernels
    raise UnsupportedShape(
        f"{phase} of {tokens} tokens is longer than the kernels run",
        f"use buckets of at most {rows[-1][0]}",
    )


def ever_reads(choice: Mapping[str, str], part: str, value: str) -> bool:
    """Whether a kernel of the part or of a whole layer takes a value of this name, in any phase."""
    places = [(each, phase) for each in (part, "layer") for phase in ("prefill", "decode")]
    rows = [row for place in places for row in rows_of(choice, *place)]
    return any(reads(kernels, value) for _, kernels in rows)


def launch(kernel: Variant, values: dict[str, Any]) -> None:
    """Run a kernel on both cores of the logical core; its results join `values`."""
    results = function_of(kernel)[CORES](**named_arguments(kernel, values))
    if not isinstance(results, tuple):
        results = (results,)
    values |= named_results(kernel, results)


class Passing(nn.Module):
    """Holds a norm's weight under the checkpoint's name for it, and passes its input on.

    The kernel that applies the norm is given the weight as a row.
    """

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size), requires_grad=False)
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The input."""
        return hidden_states


def row_of(norm: Any, like: torch.Tensor) -> torch.Tensor:
    """A norm's weight as [1, n], in the type of `like`."""
    row: torch.Tensor = norm.weight.to(like.dtype).reshape(1, -1)
    return row


class RankShare(BaseParallelLinear):  # type: ignore[misc]
    """A rank's share of a weight whose checkpoint form holds the ranks one after another in dimension 0.

    A parallel layer, because NxD cuts the weights of no other modules. A parameter called `scale` keeps fp32;
    NxD casts every other floating one to the model's type.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, ranks: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False))
        # after it is registered, which makes another of it where NxD builds on the meta device
        share = getattr(self, name)
        set_tensor_model_parallel_attributes(share, is_parallel=True, dim=0, stride=1, num_partitions=ranks)
