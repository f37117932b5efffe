"""Tensor-engine throttling: half rate until a whole window was busy enough, and again after an idle one.

AWS Neuron SDK docs (Neuron Explorer glossary) describe it; the window and the threshold are fitted, see the
machine table. The hardware's windows have an unknown phase; here they start with the launch.
"""

from __future__ import annotations

from simulator.timeline.compiled import part
from simulator.timeline.state import State


@part
def stretch(s: State, core: int, start_ns: float, issue_ns: float) -> float:
    """How long `issue_ns` of full-rate work takes from `start_ns` on; must be called in order of time."""
    engine, clock = s.cores[core], s.clock[0]
    length = clock.throttle_window_ns
    window = int(start_ns / length)
    if window > engine.window:
        _enter(s, core, window)
    time, work = 0.0, issue_ns
    while True:
        rate = clock.throttled_rate if engine.slow else 1.0
        room = (engine.window + 1) * length - (start_ns + time)
        if work <= room * rate:
            engine.work_ns += work
            if engine.slow:
                engine.throttled_ns += work / rate
            return time + work / rate
        engine.work_ns += room * rate
        if engine.slow:
            engine.throttled_ns += room
        time += room
        work -= room * rate
        _enter(s, core, engine.window + 1)


@part
def _enter(s: State, core: int, window: int) -> None:
    """A later window begins: at full rate if the one before it was busy enough."""
    engine = s.cores[core]
    busy = engine.work_ns if window == engine.window + 1 else 0.0
    engine.slow = busy < s.clock[0].throttle_release_ns
    engine.window, engine.work_ns = window, 0.0
