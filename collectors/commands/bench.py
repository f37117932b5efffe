"""Latency percentiles of one kernel on the device: what `collectors bench` shows of a `Bench`."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from collectors.device.bench import Bench, Percentile


def bench_json(result: Bench) -> str:
    """One JSON object: kernel, clock, every sample and the percentiles with their intervals, in ns."""
    return json.dumps(
        {
            "kernel": result.kernel,
            "provenance": "measured",
            "clock": result.clock,
            "basis": result.basis,
            "warmup": result.warmup,
            "repeat": len(result.samples_ns),
            "percentiles": [_fields(row) for row in result.percentiles],
            "samples_ns": list(result.samples_ns),
        }
    )


def bench_table(result: Bench) -> Table:
    """The percentiles in microseconds, with their 95 % intervals and what measured them."""
    table = Table(
        title=f"{result.kernel}: {len(result.samples_ns)} executions after {result.warmup} to warm up",
        caption=f"measured on the device ({result.basis}); 95 % bootstrap intervals",
    )
    for name in ("percentile", "latency µs", "95 % interval µs"):
        table.add_column(name, justify="right")
    for row in result.percentiles:
        table.add_row(f"p{row.quantile * 100:g}", f"{row.value_ns / 1000:.3f}", _interval(row))
    return table


def _interval(row: Percentile) -> str:
    if row.low_ns is None or row.high_ns is None:
        return "too few samples"
    return f"{row.low_ns / 1000:.3f} to {row.high_ns / 1000:.3f}"


def _fields(row: Percentile) -> dict[str, Any]:
    return {"p": row.quantile, "ns": row.value_ns, "low_ns": row.low_ns, "high_ns": row.high_ns}
