"""Every fitted constant: how it is derived, from whose measurements, and what stands without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple

from simulator.fidelity.fit import around, computing, moving, waiting
from simulator.fidelity.fit.evidence import Evidence
from simulator.machine.facts import Kind

Samples = Callable[[Evidence], list[float]]
STREAMS = "attention"
"""The family whose kernels' whole streams are known."""
PREFILL = "attention prefill"


class Without(NamedTuple):
    """What is taken for a constant when the measurements it rests on are left out."""

    value: float
    kind: Kind
    source: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """A constant as a statistic over samples from the measurements of one family."""

    constant: str
    samples: Samples
    family: str
    without: Without
    statistic: Callable[[Iterable[float]], float] = median
    about: str = ""

    @property
    def how(self) -> str:
        """What the samples are, in a line."""
        return self.about or str(self.samples.__doc__).split("\n")[0]


def _documented(value: float, source: str) -> Without:
    return Without(value, "documented", source)


def _assumed(value: float, source: str) -> Without:
    return Without(value, "assumed", source)


_ACCESS = "docs, trainium_inferentia2_arch: a tensor access takes about 60 cycles to begin"
_DEPENDENT = "docs, trainium_inferentia2_arch: dependent instructions about 100 cycles apart"
_TRIGGER = "docs, nki-dma-bandwidth-guide figures: from a trigger to the first byte about 1.0 us"
_NOTHING = "nothing but these streams says that there is any"
_TRN3 = "published trn3 notes of KevGomes1403/nki-moe-megakernel"


def nearest(samples: Iterable[float]) -> float:
    """The whole number nearest to the median."""
    return float(round(median(samples)))


def middle(samples: Iterable[float]) -> float:
    """Halfway between the bounds that two samples are."""
    return fmean(samples)


DERIVATIONS: tuple[Derivation, ...] = (
    Derivation(
        "tensor.transpose_fp32_passes",
        computing.transpose_passes,
        STREAMS,
        _documented(1, "docs, trainium2_arch: fp32 transposes at twice the rate of fp32 matmuls"),
        nearest,
    ),
    Derivation(
        "tensor.load_fp32_cycles",
        computing.load_fp32,
        STREAMS,
        _documented(128, "docs: fp32 at a quarter of the rate of bf16, whose fast load takes 32 cycles"),
    ),
    Derivation("tensor.issue_ns", computing.tensor_issue, STREAMS, _documented(0, "docs: one row a cycle")),
    Derivation(
        "tensor.pipeline_ns",
        computing.tensor_pipeline,
        STREAMS,
        _assumed(155, "published notes of moe_tkg on trn2: 152-157 ns of latency a PE instruction"),
    ),
    Derivation(
        "tensor.throttle_window_ns",
        computing.throttle_window,
        STREAMS,
        _documented(3000, "docs, Neuron Explorer glossary: about 3 us"),
    ),
    Derivation(
        "tensor.throttle_release_share",
        computing.release_share,
        STREAMS,
        _documented(0.5, "docs, Neuron Explorer glossary: below 50 % of use the limit is back"),
        middle,
    ),
    Derivation("vector.issue_ns", computing.vector_issue, STREAMS, _documented(62.5, _ACCESS)),
    Derivation("vector.drain_ns", computing.vector_drain, STREAMS, _documented(104, _DEPENDENT)),
    Derivation("vector.pointer_ns", computing.vector_pointer, STREAMS, _documented(62.5, _ACCESS)),
    Derivation(
        "vector.reciprocal_cycles",
        computing.reciprocal,
        STREAMS,
        _documented(8, "docs v2.26, nki.isa instruction costs: reciprocal"),
    ),
    Derivation("scalar.issue_ns", computing.scalar_issue, STREAMS, _documented(50, _ACCESS)),
    Derivation("scalar.drain_ns", computing.scalar_drain, STREAMS, _documented(83.3, _DEPENDENT)),
    Derivation("scalar.pointer_ns", computing.scalar_pointer, STREAMS, _documented(50, _ACCESS)),
    Derivation(
        "scalar.table_load_ns",
        computing.table_load,
        STREAMS,
        _documented(1300, "docs, nki-dma-intro figures: about 1.3 us"),
    ),
    Derivation(
        "sequencer.register_load_ns",
        computing.register_load,
        STREAMS,
        _assumed(331, f"{_TRN3}: TENSOR_LOAD"),
    ),
    Derivation("sequencer.branch_ns", computing.branch, STREAMS, _assumed(44, f"{_TRN3}: ALU_OP")),
    Derivation("semaphores.engine_ns", waiting.engine_semaphore, STREAMS, _assumed(21, f"{_TRN3}: on Sync")),
    Derivation("semaphores.tensor_ns", waiting.tensor_semaphore, STREAMS, _assumed(21, f"{_TRN3}: on Sync")),
    Derivation(
        "semaphores.transfer_ns",
        waiting.transfer_semaphore,
        STREAMS,
        _documented(300, "docs, nki-dma-bandwidth-guide figures: completion to consumer about 0.3 us"),
    ),
    Derivation(
        "semaphores.transfer_to_trigger_ns",
        waiting.transfer_to_trigger,
        STREAMS,
        _documented(300, "docs, nki-dma-bandwidth-guide figures: completion to consumer about 0.3 us"),
    ),
    Derivation(
        "dma.descriptor_ns",
        moving.descriptor,
        STREAMS,
        _assumed(15, "DMA packet time of the docs' matmul v3 and v2: 88.9 ns for 2 KiB, 33.5 ns for 512 B"),
    ),
    Derivation(
        "dma.shortest_descriptor_ns",
        around.shortest_descriptor,
        PREFILL,
        _assumed(7, "the packet of 4 bytes that ends a transfer takes 6 to 7 ns in the attention streams"),
        middle,
    ),
    Derivation(
        "dma.completion_ns",
        moving.completion,
        STREAMS,
        _documented(10, "docs, nki-dma-intro figures: about 10 ns for the semaphore's write"),
    ),
    Derivation(
        "dma.packet_bytes",
        moving.packet_bytes,
        STREAMS,
        _assumed(4096, "packet counts of KevGomes1403/nki-moe-megakernel, moe_tkg v5 to v6c"),
        max,
    ),
    Derivation("dma.small_write_ns", moving.small_write, STREAMS, _assumed(0, _NOTHING)),
    Derivation(
        "dma.hwdge_issue_ns",
        moving.hwdge_issue,
        STREAMS,
        _documented(600, "docs, nki-dge: about 600 ns a DMA instruction"),
    ),
    Derivation("dma.hwdge_descriptor_ns", moving.hwdge_descriptor, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.hwdge_latency_ns", moving.hwdge_latency, STREAMS, _documented(1000, _TRIGGER)),
    Derivation("dma.hwdge_gap_ns", moving.hwdge_gap, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.swdge_prepare_ns", moving.swdge_prepare, STREAMS, _assumed(0, _NOTHING)),
    Derivation(
        "dma.swdge_prepare_descriptor_ns", moving.swdge_prepare_descriptor, STREAMS, _assumed(0, _NOTHING)
    ),
    Derivation(
        "dma.swdge_issue_ns", moving.swdge_issue, STREAMS, _assumed(31, f"{_TRN3}: DMA_DIRECT2D on GpSimd")
    ),
    Derivation(
        "dma.swdge_static_ns",
        moving.swdge_static,
        STREAMS,
        _assumed(604, "the docs' matmul v2: 66,048 transfers in 39.89 ms"),
    ),
    Derivation(
        "dma.swdge_latency_ns",
        moving.swdge_latency,
        STREAMS,
        _documented(870, "docs, nki-dma-intro figures: 0.74-1.0 us from GpSimd's trigger to the start"),
    ),
    Derivation("dma.mixed_share", moving.mixed, STREAMS, _assumed(1, _NOTHING), min),
    Derivation("dma.hbm_read_ns", moving.hbm_read, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.read_spread_ns", moving.read_spread, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.read_tail_share", moving.read_tail_share, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.read_tail_ns", moving.read_tail, STREAMS, _assumed(0, _NOTHING)),
    Derivation("dma.write_tail_ns", moving.write_tail, STREAMS, _assumed(0, _NOTHING)),
    Derivation(
        "profile.envelope_ns",
        around.envelope,
        STREAMS,
        _assumed(13000, "published trn3 profiles of trivial kernels"),
    ),
    Derivation(
        "profile.benchmark_ns",
        around.benchmark,
        STREAMS,
        _assumed(13000, "taken to be a profile's envelope on trn3"),
    ),
    *(
        Derivation(
            f"profile.{name}_active_ns",
            samples,
            STREAMS,
            _assumed(0, _NOTHING),
            about="Active time beyond the kernel's own instructions and data.",
        )
        for name, samples in around.ACTIVE.items()
    ),
)
