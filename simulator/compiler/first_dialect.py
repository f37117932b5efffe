"""The compiler of the first dialect (`neuronxcc.nki`) rewrites loops: a kernel is not run as written."""

from __future__ import annotations

from simulator.compiler.copy_engines import balanced
from simulator.compiler.joined_iterations import joined_iterations
from simulator.compiler.merged_copies import merged_copies
from simulator.compiler.repeated_loads import without_repeated_loads
from simulator.compiler.spills import spilled
from simulator.compiler.transfers import by_address, coalesced
from simulator.trace import FIRST_DIALECT, Trace


def compiled(trace: Trace) -> Trace:
    """The program that is scheduled: the trace itself but for a kernel that the first dialect transforms."""
    if trace.dialect != FIRST_DIALECT or trace.as_written:
        return trace
    loaded = coalesced(by_address(without_repeated_loads(trace)))
    return spilled(balanced(joined_iterations(merged_copies(loaded))))
