"""What the compiled clock works on: records of instructions, transfers, engines, cores and queues.

Records of the same kind lie in one array; their fields are listed here. Numbers of instructions, transfers,
queues, lanes (engines over both cores) and cores index those arrays; -1 stands for none. Times are ns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.machine.facts import Machine
from simulator.timeline.compiled import part
from simulator.timeline.lists import Array
from simulator.trace import ENGINES, FIRST_DIALECT

ENGINE = {name: number for number, name in enumerate(ENGINES)}
LANES = len(ENGINES)
MEMORIES = {"hbm": 0, "sbuf": 1, "psum": 2}
DMA_ENGINES = 16
BANKS = 8
NEVER = float("inf")
WINDOW = {"nki": 512, FIRST_DIALECT: 16}
"""How far ahead of its oldest waiting instruction the list scheduler looks on an engine, by dialect.

Assumed for the current one. For the first dialect it is fitted, among powers of two, to the public times of
the attention and MLP kernels of allenkchau/trainium-kernel-fusion.
"""
PLAIN, TENSOR, SCALAR, TRANSFER = range(4)
"""Kinds of instruction that start differently."""

_TIME, _NUMBER, _FLAG = np.float64, np.int64, np.bool_
_HEAP = max(WINDOW.values())


def _record(*fields: tuple[Any, ...]) -> np.dtype[np.void]:
    return np.dtype(list(fields), align=True)


INSTRUCTION = _record(
    # what the plan says of it
    ("issue_ns", _TIME),  # its engine is taken
    ("latency_ns", _TIME),  # from its start to its complete result
    ("load_ns", _TIME),  # loading the stationary matrix, where it is not hidden
    ("semaphore_ns", _TIME),  # what it adds after a producer that is an instruction
    ("transfer_ns", _TIME),  # what it adds after a producer that is a transfer
    ("lane", _NUMBER),
    ("kind", _NUMBER),
    ("table", _NUMBER),  # activation function set, 0 for any
    ("banks", _NUMBER),  # PSUM banks it touches, a bit each
    ("reload", _NUMBER),  # the weights a matmul needs
    ("partner", _NUMBER),  # the other core's half of an exchange
    ("transfer", _NUMBER),  # the transfer it starts
    ("waits", _NUMBER),  # how many results it needs, and how many it must only follow
    ("orders", _NUMBER),
    ("waiting", _NUMBER, (2,)),  # from where to where `edges` lists who needs its result
    ("following", _NUMBER, (2,)),  # and who must only follow it
    ("exclusive", _FLAG),  # takes the SBUF port that VectorE's fast modes and GpSimd share
    ("fence", _FLAG),  # nothing may pass it
    ("collective", _FLAG),  # exchanges data with other ranks
    # what becomes of it
    ("start_ns", _TIME),
    ("end_ns", _TIME),
    ("ready_ns", _TIME),
    ("way_ns", _TIME),  # the longest chain of latencies from its start to the kernel's end
    ("came_ns", _TIME),  # when it began to wait for its partner
    ("loads", _NUMBER),  # counts the activation tables loaded, where it loads one
    ("load_start_ns", _TIME),
    ("critical", _NUMBER),  # what it waited for last
    ("left", _NUMBER),  # what it still waits for
    ("place", _NUMBER),  # where it stands in its engine's program
    ("at_place", _NUMBER),  # which instruction stands there: programs of all lanes, end to end
)
TRANSFERS = _record(
    # simulator.costs.dma.Movement
    ("prepare_ns", _TIME),
    ("issue_ns", _TIME),
    ("printed_ns", _TIME),
    ("latency_ns", _TIME),
    ("work_ns", _TIME),
    ("tail_ns", _TIME),
    ("mask", _NUMBER),
    ("hbm_bytes", _NUMBER),
    # what else the plan says of it
    ("instruction", _NUMBER),
    ("core", _NUMBER),
    ("queue", _NUMBER),
    ("stores", _NUMBER),  # 1 when it does, else 0
    # what becomes of it
    ("left_ns", _TIME),  # work that remains to each of its engines when alone
    ("pull", _TIME),  # HBM bytes per ns then
    ("rate", _TIME),  # share of that speed it has now
    ("started_ns", _TIME),
    ("ended_ns", _TIME),
    ("before", _NUMBER),  # its neighbours in the queue
    ("behind", _NUMBER),
    # lists of transfers: those that move now, those that have
    ("active", _NUMBER),
    ("moved", _NUMBER),
)
LANE = _record(
    ("free_ns", _TIME),  # when the engine may take another instruction
    ("alarm_ns", _TIME),  # when it looks for one
    ("last", _NUMBER),  # the instruction it took last
    ("oldest", _NUMBER),  # first place of its program that has not started
    ("reach", _NUMBER),  # end of the window it may choose from
    ("end", _NUMBER),  # end of its program
    # heaps of what is ready later, by when, and of what is ready now, by urgency
    ("pendings", _NUMBER),
    ("pending_ns", _TIME, (_HEAP,)),
    ("pending", _NUMBER, (_HEAP,)),
    ("availables", _NUMBER),
    ("available_ns", _TIME, (_HEAP,)),
    ("available", _NUMBER, (_HEAP,)),
)
CORE = _record(
    ("loaded", _NUMBER),  # weights in the tensor engine
    ("stream_ns", _TIME),  # start of the last matmul's stream
    ("table", _NUMBER),  # activation functions loaded
    ("port_ns", _TIME),  # until when the shared SBUF port is taken, and by what
    ("port_user", _NUMBER),
    ("bank_ns", _TIME, (BANKS,)),  # until when each PSUM bank is taken, and by what
    ("bank_user", _NUMBER, (BANKS,)),
    ("users", _NUMBER, (DMA_ENGINES,)),  # how many transfers each DMA engine serves now
    ("ways", _NUMBER, (2,)),  # how many of them load, how many store
    ("window", _NUMBER),  # throttling: the window, what was done in it, whether the rate is low
    ("work_ns", _TIME),
    ("throttled_ns", _TIME),
    ("slow", _FLAG),
)
QUEUE = _record(
    ("head", _NUMBER),
    ("tail", _NUMBER),
    ("known", _FLAG),
    ("in_order", _NUMBER),  # the queues by their first transfer
)
CLOCK = _record(
    ("listed", _FLAG),  # engines choose within a window, rather than follow the program
    ("window", _NUMBER),
    # constants of the machine
    ("table_load_ns", _TIME),
    ("throttle_window_ns", _TIME),
    ("throttle_release_ns", _TIME),
    ("throttled_rate", _TIME),
    ("hbm_bytes_per_ns", _TIME),
    ("mixed_share", _TIME),
    # how far transfers have been moved, and when the next of them leaves its engines
    ("now_ns", _TIME),
    ("leave_ns", _TIME),
    # how many there are so far
    ("started", _NUMBER),
    ("loads", _NUMBER),
    ("queues", _NUMBER),
    ("arriving", _NUMBER),
    ("active", _NUMBER),
    ("moved", _NUMBER),
)


class State(NamedTuple):
    """One scheduling of a plan: an array a kind of record, and `clock`, of one record.

    `edges` lists who waits for whom. `arriving` is a heap of transfers under way to their queue, by when they
    reach it.
    """

    clock: Array
    instructions: Array
    edges: Array
    lanes: Array
    cores: Array
    transfers: Array
    queues: Array
    arriving_ns: Array
    arriving: Array


def beginning(
    machine: Machine,
    window: int,
    instructions: Array,
    edges: Array,
    transfers: Array,
    *,
    cores: int,
    queues: int,
) -> State:
    """What `reset` makes ready. Engines choose within a window, or follow the program where that is 0."""
    return State(
        clock=_clock(machine, window),
        instructions=instructions.copy(),
        edges=edges,
        lanes=np.empty(cores * LANES, LANE),
        cores=np.zeros(cores, CORE),
        transfers=transfers.copy(),
        queues=np.zeros(queues, QUEUE),
        arriving_ns=np.empty(len(transfers)),
        arriving=np.empty(len(transfers), dtype=np.int64),
    )


def _clock(machine: Machine, window: int) -> Array:
    clock, tensor = np.zeros(1, CLOCK), machine.tensor
    clock["listed"], clock["window"] = window > 0, window
    clock["table_load_ns"] = machine.scalar.table_load_ns
    clock["throttle_window_ns"] = tensor.throttle_window_ns
    clock["throttle_release_ns"] = tensor.throttle_release_share * tensor.throttle_window_ns
    clock["throttled_rate"] = tensor.throttled_rate
    clock["hbm_bytes_per_ns"] = machine.hbm.bytes_per_ns
    clock["mixed_share"] = machine.dma.mixed_share
    clock["leave_ns"] = NEVER
    return clock


@part
def reset(s: State) -> None:
    """Nothing waits, moves or is loaded yet."""
    listed = s.clock[0].listed
    for k in range(len(s.lanes)):
        lane = s.lanes[k]
        lane.free_ns, lane.alarm_ns, lane.last = 0.0, NEVER, -1
        lane.end = lane.pendings = lane.availables = 0
    for g in range(len(s.instructions)):
        i = s.instructions[g]
        i.left = i.waits + i.orders if listed else i.waits
        s.lanes[i.lane].end += 1
    end = 0
    for k in range(len(s.lanes)):
        lane = s.lanes[k]
        lane.oldest = lane.reach = end
        end += lane.end
        lane.end = end
    for c in range(len(s.cores)):
        core = s.cores[c]
        core.loaded = core.port_user = -1
        core.slow = True
        for bank in range(BANKS):
            core.bank_user[bank] = -1
    for k in range(len(s.transfers)):
        moved = s.transfers[k]
        moved.left_ns = max(moved.work_ns, 1e-3)
        moved.pull = moved.hbm_bytes / moved.left_ns
    for k in range(len(s.queues)):
        s.queues[k].head = s.queues[k].tail = -1
