"""Phase times NxD Inference prints in its log, which nothing else reports.

The lines are those of neuronx-distributed-inference and neuronx-distributed, as printed in public logs.
"""

from __future__ import annotations

import re

SECONDS = r"(\d+(?:\.\d+)?)"
LINES = (
    ("trace", re.compile(rf"Generated all HLOs in {SECONDS}")),
    ("neuronx-cc", re.compile(rf"Finished Compilation for all HLOs in {SECONDS}")),
    ("shard", re.compile(rf"Done Sharding weights in {SECONDS}")),
    ("load weights", re.compile(rf"Finished weights loading in {SECONDS}")),
    ("warm up graphs", re.compile(rf"Warmup completed in {SECONDS}")),
)


def logged_phases(log: str) -> dict[str, float]:
    """Seconds by phase; a phase logged several times (two models) is summed."""
    found = {name: [float(seconds) for seconds in line.findall(log)] for name, line in LINES}
    return {name: sum(seconds) for name, seconds in found.items() if seconds}
