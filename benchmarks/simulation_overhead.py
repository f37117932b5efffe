"""What recording and timing a kernel cost over executing it for its results alone, in one run.

    python benchmarks/simulation_overhead.py

Figures to reach (issue 3): at most 1.3 times; 100,000 instructions a second on one core when only times are
wanted (no values): 10 us an instruction, of which tracing and scheduling are printed apart.
Each figure is CPU time, the least of several runs, so that another program on the machine disturbs it least;
several programs on one core still slow each other through its caches.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import qwen
from simulator.api import simulate
from simulator.compiler.first_dialect import compiled
from simulator.kernel_ref import KernelRef
from simulator.nki.execute import execute
from simulator.timeline.plan import prepare
from simulator.timeline.schedule import schedule
from simulator.trace import Trace

RUNS = 5
COLUMNS = ("instr", "results s", "simulated s", "ratio", "trace us", "schedule us", "timing only/s")


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one kernel's launch: for its results, recorded and scheduled as well, and without values."""

    instructions: float
    results: float
    simulated: float
    traced: float
    scheduled: float

    def row(self) -> str:
        """Totals and ratios, and what an instruction costs without values."""
        each = 1e6 / self.instructions
        timed = self.traced + self.scheduled
        return (
            f"{self.instructions:7.0f} {self.results:10.3f} {self.simulated:12.3f} "
            f"{self.simulated / self.results:6.2f} {self.traced * each:9.1f} {self.scheduled * each:12.1f} "
            f"{self.instructions / timed:14,.0f}"
        )


def best(action: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several runs."""
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def both_orders(trace: Trace) -> None:
    """What `simulate` does with a trace."""
    plan = prepare(trace)
    for order in ("as_written", "list"):
        schedule(trace, order, plan)


def costs(kernel: KernelRef, arguments: dict[str, object]) -> Costs:
    """Of one launch."""
    run = partial(execute, kernel, arguments, target="trn3", lnc=2)
    trace = compiled(run(values=False))
    return Costs(
        sum(map(len, trace.cores)),
        best(partial(run, record=False)),
        best(partial(simulate, kernel, arguments)),
        best(partial(run, values=False)),
        best(partial(both_orders, trace)),
    )


def main() -> None:
    """Print one row per distinct kernel of prompt 3's decode, and the totals."""
    print("{:18} {:12} {:>7} {:>10} {:>12} {:>6} {:>9} {:>12} {:>14}".format("slot", "variant", *COLUMNS))
    rows = []
    for preset in ("baseline", "tuned"):
        choice = qwen.kernel_choice(preset)
        for row in qwen.plan(prompt_tokens=14, seq_len=640, batch=1, kernels=choice, target="trn3"):
            if row.phase != "decode" or row.module is None or row.arguments is None:
                continue
            rows.append(costs(KernelRef(str(row.function), module=row.module), row.arguments(0)))
            print(f"{row.slot:18} {row.variant:12} {rows[-1].row()}", flush=True)
    total = Costs(*map(sum, zip(*map(astuple, rows), strict=True)))
    print(f"{'all':31} {total.row()}")


if __name__ == "__main__":
    main()
