"""Data movement costs: issuing it on an engine, and moving it through the DMA engines.

Sources: AWS Neuron SDK docs, nki-dma-overview, nki-dma-bandwidth-guide, nki-dge; what is fitted says so in
the machine table.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from simulator.machine.facts import Dma, Machine
from simulator.trace import Instruction, Transfer


class Movement(NamedTuple):
    """Times of one transfer in ns.

    `prepare_ns`: from the triggering instruction's readiness to its start, behind the ones before it where
    it can. `issue_ns`: the triggering engine is taken. `printed_ns`: the duration a profiler prints for the
    instruction. `latency_ns`: from the instruction's start to the transfer's place in its queue. `work_ns`:
    what each of its engines is busy when alone. `tail_ns`: from the last byte at full rate to completion.
    `mask`: which of the engines take part, a bit each. `hbm_bytes`: bytes that cross the HBM stack.
    """

    prepare_ns: float
    issue_ns: float
    printed_ns: float
    latency_ns: float
    work_ns: float
    tail_ns: float
    mask: int
    hbm_bytes: int


def movement(machine: Machine, instruction: Instruction) -> Movement:
    """The costs of the transfer a DMA instruction starts."""
    transfer = instruction.transfer
    assert transfer is not None
    dma = machine.dma
    reads = transfer.source_memory == "hbm"
    mask = _engines(dma, instruction, transfer)
    work = _work(dma, transfer, mask.bit_count())
    prepare, issue, printed, latency = _trigger(dma, transfer, _held(dma, transfer, mask.bit_count(), work))
    return Movement(
        prepare,
        issue,
        printed,
        latency + (dma.hbm_read_ns if reads else 0.0),
        work,
        read_tail(dma, work) if reads else dma.write_tail_ns,
        mask,
        transfer.bytes * ((transfer.source_memory == "hbm") + (transfer.target_memory == "hbm")),
    )


def descriptor_time(dma: Dma, size: float, *, to_hbm: bool) -> float:
    """Time of one descriptor of `size` bytes on one DMA engine."""
    small = dma.small_write_ns if to_hbm and size < dma.small_write_bytes else 0.0
    return max(dma.shortest_descriptor_ns, dma.descriptor_ns + small + size / dma.bytes_per_ns)


def read_tail(dma: Dma, work_ns: float) -> float:
    """From the last byte of a load at full rate to its completion.

    The engines of a load do not start together and HBM does not always follow, the less the longer it takes.
    """
    return min(dma.read_tail_ns, dma.read_spread_ns + dma.read_tail_share * work_ns)


def packets(dma: Dma, transfer: Transfer, engines: int) -> int:
    """Packets a profiler counts for a transfer over so many engines, the completion writes among them.

    Hardware descriptors, and software ones that cast, move one contiguous piece a packet. Other software
    descriptors pack an engine's rows into packets of `packet_bytes`. Every engine then writes 4 bytes to say
    that it is done. Found in the public packet streams and packet counts that the machine table names.
    """
    if transfer.bytes == 0:
        return 0
    if transfer.dge == "swdge" and not transfer.casts:
        return engines * (ceil(transfer.bytes / engines / dma.packet_bytes) + 1)
    return max(transfer.descriptors, ceil(transfer.bytes / dma.max_descriptor_bytes)) + engines


def _held(dma: Dma, transfer: Transfer, engines: int, work_ns: float) -> float:
    """How long a transfer moves before the last of its descriptors has room in the rings of its engines."""
    each = transfer.descriptors / engines
    return work_ns * max(0.0, 1 - dma.ring_descriptors / each) if each else 0.0


def _trigger(dma: Dma, transfer: Transfer, held_ns: float) -> tuple[float, float, float, float]:
    """Preparation, engine time, printed duration and latency by descriptor generation.

    GpSimd is taken to work all the while it writes descriptors for an address only data knows, a hardware
    queue's engine to wait until its descriptors have room.
    """
    if transfer.dge == "hwdge":
        printed = dma.hwdge_issue_ns + dma.hwdge_descriptor_ns * transfer.descriptors
        if held_ns:
            printed = max(printed, dma.hwdge_latency_ns + held_ns)
        return 0.0, printed + dma.hwdge_gap_ns, printed, dma.hwdge_latency_ns
    if transfer.dge == "swdge":
        prepare = dma.swdge_prepare_ns + dma.swdge_prepare_descriptor_ns * transfer.descriptors
        if transfer.dynamic:
            return prepare, dma.swdge_dynamic_ns, dma.swdge_dynamic_ns, dma.swdge_latency_ns
        return prepare, dma.swdge_static_ns, dma.swdge_issue_ns, dma.swdge_latency_ns
    return 0.0, dma.static_issue_ns, dma.static_issue_ns, dma.static_latency_ns


def _engines(dma: Dma, instruction: Instruction, transfer: Transfer) -> int:
    """An engine serves a fixed group of partitions; between HBM tensors descriptors spread over all."""
    total = int(dma.engines)
    group = int(dma.partitions_per_engine)
    if transfer.partitions == 0:
        return (1 << max(1, min(total, transfer.descriptors))) - 1
    on_chip = instruction.writes if transfer.target_memory != "hbm" else instruction.reads
    first = on_chip[0].row0 if on_chip else 0
    last = first + transfer.partitions - 1
    low, high = min(first // group, total - 1), min(last // group, total - 1)
    return ((1 << (high - low + 1)) - 1) << low


def _work(dma: Dma, transfer: Transfer, engines: int) -> float:
    if transfer.transpose:
        share = dma.transpose_from_hbm if transfer.source_memory == "hbm" else dma.transpose_from_sbuf
        return transfer.bytes / (engines * dma.bytes_per_ns * share)
    pieces = max(transfer.descriptors, transfer.bytes / dma.max_descriptor_bytes, 1)
    to_hbm = transfer.target_memory == "hbm"
    busiest = max(1.0, pieces / engines)
    return busiest * descriptor_time(dma, transfer.bytes / pieces, to_hbm=to_hbm) + dma.completion_ns
