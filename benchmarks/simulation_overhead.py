"""What recording and timing a kernel cost over executing it for its results alone, in one run.

    python benchmarks/simulation_overhead.py

Figures to reach (issue 3): at most 1.3 times; 100,000 instructions a second on one core when only times are
wanted (no values).
Each figure is the best of three, so that another program on the machine disturbs it least.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import qwen
from simulator.api import KernelRef, simulate
from simulator.nki.execute import execute


def best(action: Callable[[], object]) -> float:
    """CPU seconds of the fastest of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    """Print one row per distinct kernel of prompt 3, and the totals."""
    header = ("slot", "variant", "instr", "results s", "simulated s", "ratio", "timing only/s")
    print("{:18} {:12} {:>7} {:>10} {:>12} {:>6} {:>14}".format(*header))
    totals = [0.0, 0.0, 0.0, 0.0]
    for preset in ("baseline", "tuned"):
        choice = qwen.kernel_choice(preset)
        for row in qwen.plan(prompt_tokens=14, seq_len=640, batch=1, kernels=choice, target="trn3"):
            if row.phase != "decode" or row.module is None or row.arguments is None:
                continue
            kernel, arguments = KernelRef(str(row.function), module=row.module), row.arguments(0)
            trace = execute(kernel, arguments, target="trn3", lnc=2)
            count = sum(map(len, trace.cores))
            results = best(partial(execute, kernel, arguments, target="trn3", lnc=2, record=False))
            whole = best(partial(simulate, kernel, arguments))
            timed = best(partial(simulate, kernel, arguments, values=False))
            for place, value in enumerate((count, results, whole, timed)):
                totals[place] += value
            print(
                f"{row.slot:18} {row.variant:12} {count:7} {results:10.3f} {whole:12.3f} "
                f"{whole / results:6.2f} {count / timed:14,.0f}"
            )
    count, results, whole, timed = totals
    print(
        f"{'all':31} {count:7.0f} {results:10.3f} {whole:12.3f} {whole / results:6.2f} {count / timed:14,.0f}"
    )


if __name__ == "__main__":
    main()
