"""Folders of parquet tables as a profiler leaves them of a model's graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from standin import tables as standin

DECODE = (
    ("layers.0/input_layernorm", "", 100),
    ("layers.0/self_attn/qkv_proj", "", 300),
    ("", "attention_decode.py:40", 200),
    ("", "blocks.py:12", 50),
    ("", "attention_decode.py:44", 50),
    ("layers.0/mlp/router", "", 100),
    ("", "somebody.py:3", 200),
)
"""Layer, source line and nanoseconds of instructions one after the other."""


def graph(folder: Path, rows: tuple[tuple[str, str, int], ...] = DECODE, name: str = "decode") -> Path:
    """A folder of tables whose tensor engine does `rows`."""
    place = folder / name
    place.mkdir(parents=True)
    template = standin.instructions()[1]
    made: list[dict[str, object]] = []
    at = 5_000
    for number, (layer, source, lasts) in enumerate(rows):
        located = f"['/home/me/kernels/{source}']" if source else None
        times = {"start_ts": at, "end_ts": at + lasts, "duration_ns": lasts, "id": number}
        made.append(template | times | {"layer": layer or "Unknown", "nki_source_location": located})
        at += lasts
    content: dict[str, Any] = standin.rows("u", "2.32.0.495") | {"Instruction": made, "DmaPacket": []}
    content["ActiveTime"] = []
    for table, data in (content | {"Summary": [standin.summary("2.32.0.495")]}).items():
        standin.write(place, table, data)
    return place
