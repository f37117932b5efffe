"""The machine constants that bounds are computed from, as a value; whoever calls `analysis` fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Constant(Protocol):
    """A figure of a machine table with where it comes from, as `simulator.machine.facts` has them."""

    @property
    def value(self) -> float:
        """The figure, in the table's unit."""

    @property
    def source(self) -> str:
        """Where it comes from."""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """One NeuronCore generation, in bytes and operations per ns (equal to GB/s and Gop/s).

    `hbm_bytes_per_ns` is one HBM stack, shared by `cores_per_hbm` cores. `dma_bytes_per_ns` is what one
    core's DMA engines move together at most.
    `descriptor_ns` is what each descriptor costs an engine beside its bytes. `tensor_macs_per_ns` is one
    core's peak by dtype name. `sources` says where each figure comes from, by field name.
    """

    target: str
    hbm_bytes_per_ns: float
    cores_per_hbm: int
    dma_bytes_per_ns: float
    dma_engines: int
    descriptor_ns: float
    tensor_macs_per_ns: Mapping[str, float]
    sources: Mapping[str, str]

    def hbm_ceiling(self, lnc: int) -> float:
        """Bytes per ns that `lnc` cores can move: their DMA engines or the HBM stack, whichever is less."""
        stacks = -(-lnc // self.cores_per_hbm)
        return min(lnc * self.dma_bytes_per_ns, stacks * self.hbm_bytes_per_ns)

    def tensor_ceiling(self, lnc: int, dtype: str = "bfloat16") -> float:
        """MACs per ns of `lnc` tensor engines on a dtype; a dtype without a figure gets bfloat16's."""
        return lnc * self.tensor_macs_per_ns.get(dtype, self.tensor_macs_per_ns["bfloat16"])

    def descriptor_efficiency(self, size: float) -> float:
        """Share of a DMA engine's peak that descriptors of `size` bytes reach: B / (B + overhead × peak)."""
        return size / (size + self.descriptor_ns * self.dma_bytes_per_ns / self.dma_engines)


def machine_facts(target: str, constants: Mapping[str, Constant]) -> MachineFacts:
    """The facts out of a machine table: `machine_facts(m.target, m.constants)` for a `simulator` machine `m`.

    A core's DMA rates are its engines' together; MACs per ns are rows × columns × clock over cycles a row.
    """
    value = {name: constant.value for name, constant in constants.items()}
    engines, array = value["dma.engines"], value["tensor.columns"] * value["tensor.clock_ghz"]
    bfloat16 = value["tensor.rows"] * array / value["tensor.row_cycles"]
    read = {
        "hbm_bytes_per_ns": "hbm.bytes_per_ns",
        "cores_per_hbm": "hbm.cores",
        "dma_bytes_per_ns": "dma.bytes_per_ns",
        "dma_engines": "dma.engines",
        "descriptor_ns": "dma.descriptor_ns",
        "tensor_macs_per_ns": "tensor.clock_ghz",
    }
    return MachineFacts(
        target=target,
        hbm_bytes_per_ns=value["hbm.bytes_per_ns"],
        cores_per_hbm=int(value["hbm.cores"]),
        dma_bytes_per_ns=engines * value["dma.bytes_per_ns"],
        dma_engines=int(engines),
        descriptor_ns=value["dma.descriptor_ns"],
        tensor_macs_per_ns={
            "bfloat16": bfloat16,
            "float32": bfloat16 / (value["tensor.fp32_passes"] * value["tensor.fp32_pass_cycles"]),
            "float8": value["tensor.fp8_rows"] * array / value["tensor.double_row_cycles"],
        },
        sources={name: constants[key].source for name, key in read.items()},
    )
