"""Stand-in for neuronx_distributed_inference.models.config."""

import torch


def to_torch_dtype(name):
    """A torch dtype by name."""
    return getattr(torch, name)
