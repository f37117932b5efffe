"""The machine constants that bounds are computed from, as a value; whoever calls `analysis` fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """One NeuronCore generation, in bytes and operations per ns (equal to GB/s and Gop/s).

    `hbm_bytes_per_ns` is one HBM stack, shared by `cores_per_hbm` cores. `dma_bytes_per_ns` is what one
    core's DMA engines achieve together on large descriptors, `dma_peak_bytes_per_ns` what they are built for.
    `descriptor_ns` is what each descriptor costs an engine beside its bytes. `tensor_macs_per_ns` is one
    core's peak by dtype name. `clock_ghz` is by engine name. `launch_ns` is the fixed time around the
    smallest kernel. `sources` says where each figure comes from, by field name.
    """

    target: str
    hbm_bytes_per_ns: float
    cores_per_hbm: int
    dma_bytes_per_ns: float
    dma_peak_bytes_per_ns: float
    dma_engines: int
    descriptor_ns: float
    tensor_macs_per_ns: Mapping[str, float]
    clock_ghz: Mapping[str, float]
    launch_ns: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)

    def hbm_ceiling(self, lnc: int) -> float:
        """Bytes per ns that `lnc` cores can move: their DMA engines or the HBM stack, whichever is less."""
        stacks = -(-lnc // self.cores_per_hbm)
        return min(lnc * self.dma_bytes_per_ns, stacks * self.hbm_bytes_per_ns)

    def tensor_ceiling(self, lnc: int, dtype: str = "bfloat16") -> float:
        """MACs per ns of `lnc` tensor engines on a dtype; a dtype without a figure gets bfloat16's."""
        return lnc * self.tensor_macs_per_ns.get(dtype, self.tensor_macs_per_ns["bfloat16"])

    def descriptor_efficiency(self, size: float) -> float:
        """Share of a DMA engine's peak that descriptors of `size` bytes reach: B / (B + overhead × peak)."""
        return size / (size + self.descriptor_ns * self.dma_peak_bytes_per_ns / self.dma_engines)
