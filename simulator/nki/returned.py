"""What a launch returns: the tensors of core 0, or of both cores where each has its own part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.errors import BadKernel
from simulator.nki.initialised import anything_written, mark_all, marks, missing
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Launch

PRIVATE = (
    "{name!r} is returned from nl.hbm, which NKI 0.3 and later refuses: it is read here as releases before "
    "did, one tensor that both cores write; allocate it in nl.shared_hbm"
)


def returned(launch: Launch, outcomes: Sequence[Any]) -> tuple[list[NkiTensor], list[str]]:
    """The tensors a kernel returned, given what each core did, and warnings. Raises `BadKernel`."""
    tensors, *others = [_tensors(outcome) for outcome in outcomes]
    warnings = []
    for tensor in tensors:
        if tensor.storage.memory != "hbm":
            raise BadKernel(
                f"the kernel returns {tensor.name!r}, which is in {tensor.storage.memory.upper()}",
                "return tensors allocated in nl.shared_hbm",
            )
    for further in others:
        for tensor, other in zip(tensors, further, strict=False):
            if _joined(tensor, other):
                launch.tensors[other.storage.id].role = "output"
                warnings.append(PRIVATE.format(name=tensor.name))
    for tensor in tensors:
        launch.tensors[tensor.storage.id].role = "output"
        unwritten = missing(tensor.storage)
        if unwritten:
            size = tensor.storage.layout.size
            warnings.append(f"{unwritten:,} of {size:,} elements of {tensor.name!r} were never written")
    return tensors, warnings


def _tensors(outcome: Any) -> list[NkiTensor]:
    several = outcome if isinstance(outcome, tuple | list) else (outcome,)
    return [value for value in several if isinstance(value, NkiTensor)]


def _joined(tensor: NkiTensor, other: NkiTensor) -> bool:
    """Bring what another core wrote to its own tensor into this one, where both are a core's own."""
    mine, its = tensor.storage, other.storage
    if mine is its or mine.core is None or its.core is None or mine.layout.shape != its.layout.shape:
        return False
    if anything_written(its):
        written = marks(its)
        mine.data.reshape(-1)[written] = its.data.reshape(-1)[written]
        mark_all(mine, written)
    return True
