"""`neuronxcc.nki.typing`: names for annotations, such as `tensor[128, 512]`."""

from __future__ import annotations

from typing import Any


class tensor:  # noqa: N801 - the name kernels use
    """A tensor of some shape."""

    def __class_getitem__(cls, shape: Any) -> type[tensor]:
        return cls


mutable_tensor = tensor
