"""Projection of Neuron Explorer's tables on the store's: the columns kept, their types, what is spelled anew.

Names are equal on both sides (schema 7.4.0); a column an older file lacks is NULL.
"""

from __future__ import annotations

from collections.abc import Mapping

BYTES = tuple(f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write"))
_TIMES = {"pcore_idx": "INTEGER", "start_ts": "BIGINT", "end_ts": "BIGINT", "duration_ns": "BIGINT"}
_MOVED = {
    "id": "VARCHAR",
    "queue_name": "VARCHAR",
    "queue_idx": "BIGINT",
    "queue_type": "VARCHAR",
    "variable": "VARCHAR",
    "read_bytes": "BIGINT",
    "write_bytes": "BIGINT",
    "transfer_bytes": "BIGINT",
    "throughput": "DOUBLE",
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "Instruction": {
        **_TIMES,
        "engine": "VARCHAR",
        "opcode": "VARCHAR",
        "operands": "VARCHAR",
        "id": "VARCHAR",
        "kernel_instruction_name": "VARCHAR",
        "layer": "VARCHAR",
        "nki_source_location": "VARCHAR",
        "evt_wait_time_ns": "BIGINT",
        "dma_wait_time_ns": "BIGINT",
        **dict.fromkeys(BYTES, "BIGINT"),
        "spill_save_bytes": "BIGINT",
        "spill_reload_bytes": "BIGINT",
        "performance_mode": "VARCHAR",
        "tensor_instruction_type": "VARCHAR",
        "tensor_elements": "BIGINT",
        "raw_flops": "BIGINT",
        "adjusted_flops": "BIGINT",
        "flops_transpose": "BIGINT",
        "scalar_activation_fn": "VARCHAR",
    },
    "ActiveTime": {**_TIMES, "engine": "VARCHAR"},
    "DmaPacketAggregated": {
        **_TIMES,
        **_MOVED,
        "op": "VARCHAR",
        "source": "VARCHAR",
        "dest": "VARCHAR",
        "semaphore_id": "VARCHAR",
        "is_transpose_mode": "BOOLEAN",
    },
    "DmaPacket": {**_TIMES, **_MOVED, "packet_aggregation_id": "VARCHAR", "engine_idx": "BIGINT"},
    "DmaQueuesInfo": {
        "name": "VARCHAR",
        "type": "VARCHAR",
        "pcore_idx": "INTEGER",
        "idx": "BIGINT",
        "engine_idx": "BIGINT",
        "axi_port": "BIGINT",
        "dram_channel": "BIGINT",
    },
    "Flow": {
        "in_id": "VARCHAR",
        "out_id": "VARCHAR",
        "in_table": "VARCHAR",
        "out_table": "VARCHAR",
        "dependency_type": "VARCHAR",
        "gap_time": "BIGINT",
    },
    "Throttle": {
        "pcore_idx": "INTEGER",
        "timestamp": "BIGINT",
        "duration": "BIGINT",
        "k": "INTEGER",
        "n": "INTEGER",
    },
    "Warning": {"message": "VARCHAR", "category": "VARCHAR"},
}

REQUIRED = frozenset({"start_ts", "end_ts", "duration_ns", "engine", "opcode", "message"})
"""Columns without which a row says nothing; DuckDB names the one that is missing."""

_SPELLED = {
    ("Instruction", "engine"): "lower(engine::VARCHAR)",
    ("ActiveTime", "engine"): "lower(engine::VARCHAR)",
    ("Instruction", "nki_source_location"): (
        r"nullif(regexp_extract(nki_source_location::VARCHAR, '([^/\[\]''\", ]+:\d+)', 1), '')"
    ),
    ("Instruction", "pcore_idx"): "coalesce(pcore_idx, 0)::INTEGER",
}
"""Engines are lower case in one table and not in another; a source location is a list as text."""


def projection(table: str, has: frozenset[str], scan: str, places: str) -> str:
    """SQL of `table`'s rows in the store's columns, from a scan that has the columns `has`.

    `places` are further columns that tell rows apart.
    """
    columns = [_column(table, name, type_, has) for name, type_ in TABLES[table].items()]
    return f"SELECT {', '.join(columns)}, {places} FROM {scan}"  # noqa: S608 (own names)


def _column(table: str, name: str, type_: str, has: frozenset[str]) -> str:
    if name not in has and name not in REQUIRED:
        absent = "0" if (table, name) == ("Instruction", "pcore_idx") else "NULL"
        return f"{absent}::{type_} AS {name}"
    spelled = _SPELLED.get((table, name), f"{name}::{type_}")
    return f"{spelled} AS {name}"
