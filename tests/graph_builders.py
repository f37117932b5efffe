"""Folders of parquet tables as a profiler leaves them of a model's graph."""

from __future__ import annotations

from collections.abc import Sequence
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


MOVED = ((1, 4096, 1, "unknown"), (2, 1024, 2, "unknown"), (4, 512, 1, "unknown"))
"""Transfers: the row of `DECODE` that issued it (None: nobody says), its bytes, its packets, its variable."""


def graph(
    folder: Path,
    rows: Sequence[tuple[str, str, int]] = DECODE,
    name: str = "decode",
    moved: Sequence[tuple[int | None, int, int, str]] = (),
) -> Path:
    """A folder of tables whose tensor engine does `rows` and whose queue then does `moved`."""
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
    content: dict[str, Any] = standin.rows("u", "2.32.0.495") | {"Instruction": made, "ActiveTime": []}
    content |= transfers(made, moved)
    for table, data in (content | {"Summary": [standin.summary("2.32.0.495")]}).items():
        standin.write(place, table, data)
    return place


def transfers(
    issued: Sequence[dict[str, object]], moved: Sequence[tuple[int | None, int, int, str]]
) -> dict[str, list[dict[str, object]]]:
    """Transfers one after the other, 10 ns each from the first instruction on, and their packets."""
    packet = standin.rows("u", "")["DmaPacket"][0]
    made, packets = [], []
    for number, (of, size, descriptors, variable) in enumerate(moved):
        at = int(str(issued[0]["start_ts"])) + 10 * number
        told = {} if of is None else {"trigger": issued[of]["start_ts"], "completion": issued[of]["end_ts"]}
        own = packet | {"start_ts": at, "end_ts": at + 10, "duration_ns": 10, "id": number}
        own |= {"transfer_bytes": size, "read_bytes": size, "write_bytes": size, "variable": variable}
        made.append(own | told | {"semaphore_id": "S[3] (q0)"})
        named = own | {"packet_aggregation_id": number}
        packets += [named | {"id": 100 * number + n} for n in range(descriptors)]
    return {"DmaPacketAggregated": made, "DmaPacket": packets}
