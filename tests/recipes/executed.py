"""Kernels executed by the simulator where a device would run them, and what ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

launched: Counter[str] = Counter()
"""Launches by "SLOT=VARIANT"."""
macs: Counter[str] = Counter()
"""Multiply-accumulates by "SLOT=VARIANT", since the last `clear`: of matrix products, without transposes."""


def as_array(value: Any) -> Any:
    """A torch tensor as NumPy, bf16 included; anything else as it is."""
    import ml_dtypes
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.bfloat16:
        return value.detach().contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.detach().contiguous().numpy()


def as_tensor(value: Any) -> Any:
    """The reverse of `as_array`."""
    import torch

    plain = np.ascontiguousarray(value)
    if plain.dtype.name == "bfloat16":
        return torch.from_numpy(plain.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(plain.copy())


def counted(found: Any) -> int:
    """Multiply-accumulates of an execution's matrix products."""
    return sum(i.macs for core in found.cores for i in core if i.call == "nc_matmul")


class Executed:
    """A kernel on NumPy, in place of `kernels.functions.function_of`."""

    def __init__(self, kernel: Any, file: str | None = None) -> None:
        self.kernel, self.file = kernel, file

    def __getitem__(self, cores: int) -> Callable[..., Any]:
        """Launch on this many cores."""
        from simulator.kernel_ref import KernelRef
        from simulator.nki.execute import execute

        def run(**given: Any) -> Any:
            launched[f"{self.kernel.slot}={self.kernel.name}"] += 1
            made = {name: as_array(value) for name, value in given.items()}
            place = {"file": self.file} if self.file else {"module": self.kernel.module}
            found = execute(KernelRef(self.kernel.function, **place), made, target="trn3", lnc=cores)
            macs[f"{self.kernel.slot}={self.kernel.name}"] += counted(found)
            results = tuple(map(as_tensor, found.results))
            return results[0] if len(results) == 1 else results

        return run
