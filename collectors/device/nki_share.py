"""The share of multiply-accumulates NKI kernels do, read from compiled HLO as the challenge reads it.

The rule is `count_nki_flop_ratio` of aws-neuron/nki-moe main.py: over every computation of the smallest
bucket's two graphs, NKI custom calls count what their configuration says, dots count batch × rows ×
contraction × columns, prefill and decode weigh the same, and a loop's body counts once.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NKI_TARGET = "AwsNeuronCustomNativeKernel"
GRAPHS = ("context_encoding_model", "token_generation_model")
FIRST_BUCKET = "_tp0_bk0"


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of a graph: all of them, and those of NKI kernels."""

    total: int = 0
    nki: int = 0

    def __add__(self, other: Macs) -> Macs:
        return Macs(self.total + other.total, self.nki + other.nki)

    @property
    def share(self) -> float:
        """NKI over total; 0 for a graph without multiplications, as in the challenge."""
        return self.nki / self.total if self.total else 0.0


def nki_share(compile_folder: Path, parse: Callable[[bytes], Any] | None = None) -> Macs:
    """MACs of the smallest bucket's prefill and decode graphs below an NxD compile folder.

    `parse` turns bytes into an HloModuleProto; torch_neuronx's own by default. Raises `ValueError` when a
    bucket's folder does not hold exactly one HLO module (a cleared cache, or a skipped compilation).
    """
    read = parse or _parse
    files = [hlo_file(compile_folder / graph / FIRST_BUCKET) for graph in GRAPHS]
    return sum((count_macs(read(file.read_bytes())) for file in files), Macs())


def hlo_file(folder: Path) -> Path:
    """The one HLO module of a bucket's compile folder."""
    found = [path for path in sorted(folder.glob("*")) if "hlo_module" in path.name.lower()]
    if len(found) != 1:
        raise ValueError(f"expected exactly one HLO module in {folder}, found {len(found)}")
    return found[0]


def count_macs(module: Any) -> Macs:
    """MACs of an HloModuleProto."""
    return sum((_of_computation(computation) for computation in module.computations), Macs())


def _of_computation(computation: Any) -> Macs:
    shapes = {row.id: tuple(row.shape.dimensions) for row in computation.instructions}
    counts = Macs()
    for row in computation.instructions:
        if row.opcode == "custom-call" and row.custom_call_target == NKI_TARGET:
            nki = _declared(row.backend_config)
            counts += Macs(nki, nki)
        elif row.opcode == "dot":
            counts += Macs(_dot(row, shapes))
    return counts


def _declared(config: bytes | str) -> int:
    """The `mac_count` a NKI call declares; 0 when it declares none, as in the challenge."""
    try:
        return int(json.loads(base64.b64decode(config))["mac_count"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return 0


def _dot(row: Any, shapes: dict[int, tuple[int, ...]]) -> int:
    left, right = (shapes[operand] for operand in row.operand_ids[:2])
    numbers = row.dot_dimension_numbers
    shared = {*numbers.rhs_contracting_dimensions, *numbers.rhs_batch_dimensions}
    macs = 1
    for size in left:
        macs *= size
    for axis, size in enumerate(right):
        macs *= 1 if axis in shared else size
    return macs


def _parse(data: bytes) -> Any:
    from torch_neuronx.pyhlo.hlo_pb2 import HloModuleProto

    module = HloModuleProto()
    module.ParseFromString(data)
    return module
