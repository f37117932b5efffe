"""FLOPs of fp32 matrix multiplications, which neuron-profile up to 2.28 counts for each of two passes."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

SIGN = "fp32_mode="
"""In the operands of a multiplication in fp32."""


@dataclass(frozen=True, slots=True)
class Fp32:
    """FLOPs of a profile's fp32 multiplications as the profiler counts them: all, and those of transposes."""

    flops: int = 0
    transposed: int = 0

    @property
    def useful(self) -> int:
        """All but transposes."""
        return self.flops - self.transposed


def counted_once(rows: pa.Table) -> tuple[pa.Table, Fp32]:
    """Instructions whose fp32 multiplications count once, and what was counted before."""
    fp32 = pc.fill_null(pc.match_substring(rows["operands"], SIGN), False)
    mine = rows.filter(fp32)
    counted = Fp32(*(pc.sum(mine[name]).as_py() or 0 for name in ("raw_flops", "flops_transpose")))
    for name in ("raw_flops", "flops_transpose"):
        once = pc.if_else(fp32, pc.divide(rows[name], 2), rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, once)
    return rows, counted
