"""Rows of the full JSON as columns of the store's tables: which key becomes which column, and how.

Names of the full JSON are those of neuron-profile 2.27 and 2.28, names of the columns those of Neuron
Explorer's schema 7.4.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]
Make = Callable[[Row], Any]
BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type and how a row gives it."""

    name: str
    type: pa.DataType
    make: Make


@dataclass(slots=True)
class Builder:
    """Rows turned to Arrow in batches, so that at most one batch is Python objects."""

    columns: Sequence[Column]
    waiting: list[Row] = field(default_factory=list)
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Take a row. Raises KeyError, TypeError, ValueError or ArrowInvalid for one that does not fit."""
        self.waiting.append(row)
        if len(self.waiting) >= BATCH:
            self._flush()

    def table(self) -> pa.Table:
        """All rows taken."""
        self._flush()
        schema = pa.schema([(column.name, column.type) for column in self.columns])
        return pa.Table.from_batches(self.batches, schema=schema).unify_dictionaries()

    def _flush(self) -> None:
        if self.waiting:
            arrays = [pa.array([c.make(row) for row in self.waiting], c.type) for c in self.columns]
            self.batches.append(
                pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self.columns])
            )
            self.waiting.clear()


def core(row: Row) -> int:
    """Physical core: the number of subgraph sg00 or sg01; 0 where a single core has none."""
    return _core(str(row.get("subgraph") or "0"))


@lru_cache(maxsize=1024)
def _core(subgraph: str) -> int:
    found = re.fullmatch(r"\D*(\d+)", subgraph)
    return int(found.group(1)) if found else 0


def _integer(key: str) -> Make:
    def make(row: Row) -> int | None:
        value = row.get(key)
        return None if value is None or value == "" else int(value)

    return make


def _text(key: str) -> Make:
    def make(row: Row) -> str | None:
        value = row.get(key)
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else json.dumps(value)

    return make


def _names(key: str) -> Make:
    """A list of places, however deeply nested, as words: [["WEIGHT"]] is WEIGHT."""
    return lambda row: ",".join(_leaves(row.get(key))) or None


def _leaves(value: Any) -> list[str]:
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [] if value is None else [str(value)]


def _queue(row: Row) -> str:
    return _queue_of(str(row.get("subgroup") or ""))


@lru_cache(maxsize=65536)
def _queue_of(subgroup: str) -> str:
    """Q0 of Q0-E64, qSyncSpillReload0 of qSyncSpillReload0-Q1-E0."""
    return re.sub(r"(?<=.)(-Q\d+)?-E\d+$", "", subgroup)


def _end(row: Row) -> int:
    return int(row["timestamp"]) + int(row["duration"])


def flops(row: Row) -> int | None:
    """FLOPs of a matrix multiplication: two per element the profiler counts; None for anything else."""
    if row.get("opcode") != "MATMUL" or row.get("elements") is None:
        return None
    return 2 * int(row["elements"])


def _transposed(row: Row) -> int | None:
    return flops(row) if row.get("instruction_type") == "TRANSPOSE" else None


def _engine(row: Row) -> str:
    return str(row["subgroup"]).lower()


_I64, _TEXT, _F64, _I32 = pa.int64(), pa.string(), pa.float64(), pa.int32()
_WORD = pa.dictionary(pa.int32(), pa.string())  # text with few distinct values: a number a row
_TIMES = (
    Column("pcore_idx", _I32, core),
    Column("start_ts", _I64, lambda row: int(row["timestamp"])),
    Column("end_ts", _I64, _end),
    Column("duration_ns", _I64, lambda row: int(row["duration"])),
)
_MOVED = (
    Column("id", _TEXT, _text("id")),
    Column("queue_name", _WORD, _queue),
    Column("queue_idx", _I64, _integer("dma_queue")),
    Column("queue_type", _WORD, _text("queue_type")),
    Column("variable", _WORD, _text("variable")),
    Column("read_bytes", _I64, _integer("read_size")),
    Column("write_bytes", _I64, _integer("write_size")),
    Column("transfer_bytes", _I64, _integer("transfer_size")),
    Column("throughput", _F64, lambda row: row.get("transfer_rate")),
)
_BYTES = tuple(f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write"))

INSTRUCTION = (
    *_TIMES,
    Column("engine", _WORD, _engine),
    Column("opcode", _WORD, lambda row: str(row["opcode"])),
    Column("operands", _TEXT, _text("operands")),
    Column("id", _TEXT, _text("id")),
    Column("kernel_instruction_name", _TEXT, _text("bir_instruction_name")),
    Column("layer", _WORD, _text("layer")),
    Column("evt_wait_time_ns", _I64, _integer("evt_wait_time")),
    *(Column(name, _I64, _integer(name)) for name in _BYTES),
    Column("tensor_instruction_type", _WORD, _text("instruction_type")),
    Column("tensor_elements", _I64, _integer("elements")),
    Column("raw_flops", _I64, flops),
    Column("flops_transpose", _I64, _transposed),
    Column("scalar_activation_fn", _WORD, _text("activation_fn")),
)
PACKET = (
    *_TIMES,
    *_MOVED,
    Column("packet_aggregation_id", _TEXT, _text("packet_aggregation_id")),
    Column("engine_idx", _I64, _integer("dma_engine")),
)
TRANSFER = (
    *_TIMES,
    *_MOVED,
    Column("op", _WORD, _text("op")),
    Column("source", _WORD, _names("source")),
    Column("dest", _WORD, _names("dest")),
    Column("semaphore_id", _WORD, _text("semaphore_id")),
    Column("trigger", _I64, _integer("trigger")),
    Column("completion", _I64, _integer("completion")),
)
ACTIVE = (
    Column("pcore_idx", _I32, _integer("pcore_idx")),
    Column("engine", _WORD, lambda row: str(row["engine"]).lower()),
    Column("start_ts", _I64, lambda row: int(row["start_ts"])),
    Column("end_ts", _I64, lambda row: int(row["end_ts"])),
    Column("duration_ns", _I64, lambda row: int(row["duration_ns"])),
)
QUEUE = (
    Column("name", _TEXT, _text("q_name")),
    Column("type", _TEXT, _text("q_type")),
    Column("pcore_idx", _I32, core),
    Column("idx", _I64, _integer("q_idx")),
    Column("engine_idx", _I64, _integer("q_eng_idx")),
    Column("axi_port", _I64, _integer("q_axi_port")),
    Column("dram_channel", _I64, _integer("q_dram_channel")),
)
THROTTLE = (
    Column("pcore_idx", _I32, core),
    *(Column(name, _I64, _integer(name)) for name in ("timestamp", "duration", "k", "n")),
)
WARNING = (
    Column("message", _TEXT, lambda row: str(row["message"])),
    Column("category", _TEXT, lambda row: str(row.get("category") or "")),
)
