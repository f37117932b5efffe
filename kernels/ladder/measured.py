"""Public times of the matmul ladder on trn2, each with where it was printed. Nothing here was simulated.

No constant of a machine table was fitted to these times, so they check the timing model from outside. V1 and
V2 share blocks of 8 x 2 tiles, as their source says. The compiler of V0 brought the left tiles 3 times, not
the 8 the kernel asks for (100.5 MB of 268 MB); ours brings what the kernel asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AGENTIC = "aws-neuron/neuron-agentic-development, neuron-nki-profile-querying references"
TUTORIAL = "AWS Neuron SDK docs, NKI matrix multiplication tutorial, profiles"


@dataclass(frozen=True, slots=True)
class Rung:
    """One measured step: `function` of `kernels.ladder.matmul` on lhs_t [depth, rows] and rhs [depth,
    columns].

    `measured_us` is a device profile's total time of one core, `active_us` the active time by engine where
    it was printed.
    """

    name: str
    function: str
    depth: int
    rows: int
    columns: int
    dtype: str
    measured_us: float
    source: str
    active_us: Mapping[str, float] = field(default_factory=dict)


RUNGS = (
    Rung("V0 naive", "tiled", 4096, 4096, 4096, "bfloat16", 8602, AGENTIC, {"tensor": 4806, "dma": 7906}),
    Rung("V1 blocked", "blocked", 4096, 4096, 4096, "bfloat16", 2451, AGENTIC, {"tensor": 2163, "dma": 1325}),
    Rung(
        "V2 row loads", "row_loads", 4096, 4096, 4096, "bfloat16", 1801, AGENTIC, {"tensor": 1781, "dma": 819}
    ),
    Rung("v2 tiled", "tiled", 8192, 4096, 8192, "float32", 39890, TUTORIAL),
    Rung("v3 hoisted loads", "hoisted", 8192, 4096, 8192, "float32", 28200, TUTORIAL),
    Rung("v5 optimized", "resident", 8192, 4096, 8192, "float32", 28300, TUTORIAL),
)
