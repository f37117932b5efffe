"""Tensor-engine throttling: half rate until a whole window was busy enough, and again after an idle one.

AWS Neuron SDK docs (Neuron Explorer glossary) describe it; the window and the threshold are fitted, see the
machine table. The hardware's windows have an unknown phase; here they start with the launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.machine.facts import TensorEngine


@dataclass(slots=True)
class Throttle:
    """The rate of one core's tensor engine over time; `stretch` must be called in order of time."""

    engine: TensorEngine
    throttled_ns: float = 0.0
    _window: int = 0
    _work_ns: float = 0.0
    _slow: bool = True

    def stretch(self, start_ns: float, issue_ns: float) -> float:
        """How long `issue_ns` of full-rate work takes from `start_ns` on."""
        length = self.engine.throttle_window_ns
        window = int(start_ns / length)
        if window > self._window:
            self._enter(window)
        time, work = 0.0, issue_ns
        while True:
            rate = self.engine.throttled_rate if self._slow else 1.0
            room = (self._window + 1) * length - (start_ns + time)
            if work <= room * rate:
                self._work_ns += work
                if self._slow:
                    self.throttled_ns += work / rate
                return time + work / rate
            self._work_ns += room * rate
            if self._slow:
                self.throttled_ns += room
            time += room
            work -= room * rate
            self._enter(self._window + 1)

    def _enter(self, window: int) -> None:
        """A later window begins: at full rate if the one before it was busy enough."""
        busy = self._work_ns if window == self._window + 1 else 0.0
        self._slow = busy < self.engine.throttle_release_share * self.engine.throttle_window_ns
        self._window, self._work_ns = window, 0.0
