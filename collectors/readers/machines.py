"""Constants the profiler's own formulas use, by instance family.

Read off its records: `peak_flops_bandwidth_ratio` is 2 x 128 x 128 x clock / bandwidth and comes to 223.781
(inf2, trn1), 109.837 (trn2) and 66.760 (trn3); clocks and bandwidths are Metadata's `pe_clock_freq`,
`pe_clock_others` and `hbm_ddr_bandwidth`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PE_CELLS = 128 * 128


@dataclass(frozen=True, slots=True)
class Family:
    """Clocks in Hz, bandwidth of one HBM stack in bytes/s, logical cores' usual number of physical cores."""

    name: str
    tensor_hz: float
    other_hz: float
    hbm_bytes_per_s: float
    usual_cores: int

    @property
    def peak_flops(self) -> float:
        """Dense bf16 FLOP/s of one physical core: two per cell and cycle."""
        return 2 * PE_CELLS * self.tensor_hz


FAMILIES = {
    family.name: family
    for family in (
        Family("trn1", 2.8e9, 1.4e9, 410e9, 1),
        Family("inf2", 2.8e9, 1.4e9, 410e9, 1),
        Family("trn2", 2.4e9, 1.2e9, 716e9, 2),
        Family("trn3", 2.4e9, 1.2e9, 1178e9, 2),
    )
}


def family_of(instance_type: object) -> Family | None:
    """The family of e.g. "trn3pds98.48xlarge", None for one the table lacks."""
    found = re.match(r"(trn|inf)\d", str(instance_type or ""))
    return FAMILIES.get(found.group()) if found else None
