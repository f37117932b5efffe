"""Stand-in for neuronx_distributed_inference.utils.random."""

import torch


def set_random_seed(seed):
    """Seed torch."""
    torch.manual_seed(seed)
