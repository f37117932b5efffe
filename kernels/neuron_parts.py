"""Parts the plug-in's modules share: launching a kernel, and weights laid out rank by rank."""

from __future__ import annotations

from typing import Any

import torch
from neuronx_distributed.parallel_layers.layers import BaseParallelLinear
from neuronx_distributed.parallel_layers.utils import set_tensor_model_parallel_attributes
from torch import nn

from kernels.functions import function_of
from kernels.registry import Variant
from kernels.wiring import named_arguments, named_results

CORES = 2


def launch(kernel: Variant, values: dict[str, Any]) -> None:
    """Run a kernel on both cores of the logical core; its results join `values`."""
    results = function_of(kernel)[CORES](**named_arguments(kernel, values))
    if not isinstance(results, tuple):
        results = (results,)
    values |= named_results(kernel, results)


class RankShare(BaseParallelLinear):  # type: ignore[misc]
    """A rank's share of a weight whose checkpoint form holds the ranks one after another in dimension 0.

    A parallel layer, because NxD cuts the weights of no other modules. A parameter called `scale` keeps fp32;
    NxD casts every other floating one to the model's type.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, ranks: int) -> None:
        super().__init__()
        share = nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False)
        set_tensor_model_parallel_attributes(share, is_parallel=True, dim=0, stride=1, num_partitions=ranks)
        self.register_parameter(name, share)
