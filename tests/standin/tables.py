"""Tables of a tiny processed profile, with the names and types of Neuron Explorer's schema 7.4.0."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

I64, F64, TEXT = pa.int64(), pa.float64(), pa.string()

SCHEMAS = {
    "Instruction": {
        "start_ts": I64,
        "end_ts": I64,
        "duration_ns": I64,
        "engine": TEXT,
        "timeline_track": TEXT,
        "pcore_idx": I64,
        "opcode": TEXT,
        "operands": TEXT,
        "id": I64,
        "kernel_instruction_name": TEXT,
        "evt_wait_time_ns": I64,
        "layer": TEXT,
        "nki_source_location": TEXT,
        "dma_wait_time_ns": I64,
        "hbm_read_bytes": I64,
        "hbm_write_bytes": I64,
        "sbuf_read_bytes": I64,
        "sbuf_write_bytes": I64,
        "psum_read_bytes": I64,
        "psum_write_bytes": I64,
        "spill_save_bytes": I64,
        "spill_reload_bytes": I64,
        "performance_mode": TEXT,
        "tensor_instruction_type": TEXT,
        "tensor_elements": I64,
        "raw_flops": I64,
        "adjusted_flops": I64,
        "flops_transpose": I64,
        "scalar_activation_fn": TEXT,
    },
    "ActiveTime": {"start_ts": I64, "end_ts": I64, "engine": TEXT, "pcore_idx": I64, "duration_ns": I64},
    "DmaPacket": {
        "start_ts": I64,
        "end_ts": I64,
        "duration_ns": I64,
        "pcore_idx": I64,
        "id": I64,
        "packet_aggregation_id": I64,
        "engine_idx": I64,
        "read_bytes": I64,
        "write_bytes": I64,
        "transfer_bytes": I64,
        "throughput": F64,
        "queue_type": TEXT,
        "variable": TEXT,
        "queue_name": TEXT,
        "queue_idx": I64,
    },
    "DmaPacketAggregated": {
        "start_ts": I64,
        "end_ts": I64,
        "duration_ns": I64,
        "id": I64,
        "pcore_idx": I64,
        "block_id": pa.int32(),
        "queue_idx": I64,
        "queue_name": TEXT,
        "queue_type": TEXT,
        "op": TEXT,
        "variable": TEXT,
        "read_bytes": I64,
        "write_bytes": I64,
        "transfer_bytes": I64,
        "throughput": F64,
        "source": TEXT,
        "dest": TEXT,
        "semaphore_id": TEXT,
        "is_transpose_mode": pa.bool_(),
        "trigger": I64,
        "completion": I64,
    },
    "Metadata": {
        "profile_schema_version": TEXT,
        "ntff_version": pa.int32(),
        "num_physical_cores": pa.int32(),
        "instance_type": TEXT,
        "explorer_version": TEXT,
        "tensor_engine_clock_freq": F64,
        "hbm_ddr_bandwidth": F64,
    },
    "NeffHeader": {"network_name": TEXT, "uuid": TEXT, "hash": TEXT},
    "ExecutionInfo": {
        "execution_index": pa.int32(),
        "neff_name": TEXT,
        "execution_start_ts": I64,
        "execution_end_ts": I64,
    },
    "Warning": {"message": TEXT, "category": TEXT},
}

PREAMBLE_NS, MATMUL_NS, TAIL_NS = 13_400, 240, 2_100
MATMULS, PACKETS, PACKET_BYTES = 4, 3, 4096
WORK_NS = MATMULS * MATMUL_NS
TOTAL_NS = PREAMBLE_NS + WORK_NS + TAIL_NS


def instructions() -> list[dict[str, object]]:
    """A wait, then four matmuls one after the other, then a closing write."""
    rows = [_instruction(0, "Sync", "EVENT_SEMAPHORE", 0, PREAMBLE_NS)]
    for n in range(MATMULS):
        start = PREAMBLE_NS + n * MATMUL_NS
        row = _instruction(n + 1, "Tensor", "MATMUL", start, MATMUL_NS)
        rows.append(row | {"nki_source_location": "['kernel.py:12']", "raw_flops": 2 * 128 * 128 * 128})
    return [*rows, _instruction(MATMULS + 1, "Sync", "WRITE", PREAMBLE_NS + WORK_NS, TAIL_NS)]


LAYERS = ("layers.0/self_attn/qkv_proj", "layers.0/mlp/router", "layers.0/mlp/router", "Unknown")
"""Of the four matmuls, when they are a model's."""


def of_a_model(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The instructions with names of a framework's layers instead of a kernel's lines."""
    names = iter(LAYERS)
    return [
        row | {"layer": next(names), "nki_source_location": None} if row["opcode"] == "MATMUL" else row
        for row in rows
    ]


def _instruction(index: int, engine: str, opcode: str, start: int, duration: int) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(SCHEMAS["Instruction"])
    zero = [name for name in row if name.endswith("_bytes") or "flops" in name or "wait" in name]
    row |= dict.fromkeys(zero, 0)
    return row | {
        "start_ts": start,
        "end_ts": start + duration,
        "duration_ns": duration,
        "engine": engine,
        "timeline_track": engine,
        "pcore_idx": 0,
        "opcode": opcode,
        "operands": "",
        "id": (1 << 60) + index,
        "layer": "Unknown",
    }


def summary(version: str) -> dict[str, object]:
    """The Summary record of these rows; fractions 0-1, seconds, bytes."""
    total, work = TOTAL_NS / 1e9, WORK_NS / 1e9
    record: dict[str, object] = {
        "total_time": total,
        "total_exec_time": work,
        "total_active_time": work,
        "total_active_time_percent": work / total,
        "dma_active_time": work / 2,
        "dma_active_time_percent": work / 2 / total,
        "hbm_read_bytes": 0,
        "hbm_write_bytes": 0,
        "matmul_instruction_count": MATMULS,
        "hardware_flops": MATMULS * 2 * 128**3,
        "transpose_flops": 0,
        "static_dma_packet_count": PACKETS,
        "static_dma_size": PACKETS * PACKET_BYTES,
    }
    for engine in ("tensor", "vector", "scalar", "gpsimd", "sync"):
        active = work if engine == "tensor" else 0.0
        record[f"{engine}_engine_active_time"] = active
        record[f"{engine}_engine_active_time_percent"] = active / total
        record[f"{engine}_engine_instruction_count"] = {"tensor": MATMULS, "sync": 2}.get(engine, 0)
    return record | {"profiler_version": version, "instance_type": "trn2.48xlarge", "nc_idx": 0, "nd_idx": 0}


def rows(uuid: str, version: str) -> dict[str, list[dict[str, object]]]:
    """Every table's rows."""
    packet = {
        "duration_ns": 60,
        "pcore_idx": 0,
        "engine_idx": 64,
        "read_bytes": PACKET_BYTES,
        "write_bytes": PACKET_BYTES,
        "transfer_bytes": PACKET_BYTES,
        "throughput": PACKET_BYTES / 60e-9,
        "queue_type": "data",
        "variable": "unknown",
        "queue_name": "q0",
        "queue_idx": 0,
    }
    packets = [
        packet | {"start_ts": PREAMBLE_NS + n * 80, "end_ts": PREAMBLE_NS + n * 80 + 60, "id": n + 1}
        for n in range(PACKETS)
    ]
    return {
        "Instruction": instructions(),
        "ActiveTime": [
            {
                "start_ts": PREAMBLE_NS,
                "end_ts": PREAMBLE_NS + WORK_NS,
                "engine": "tensor",
                "pcore_idx": 0,
                "duration_ns": WORK_NS,
            }
        ],
        "DmaPacket": packets,
        "Metadata": [
            {
                "profile_schema_version": "7.4.0",
                "ntff_version": 6,
                "num_physical_cores": 1,
                "instance_type": "trn2.48xlarge",
                "explorer_version": version,
                "tensor_engine_clock_freq": 2.4,
                "hbm_ddr_bandwidth": 716e9,
            }
        ],
        "NeffHeader": [{"network_name": "standin", "uuid": uuid, "hash": uuid}],
        "ExecutionInfo": [
            {
                "execution_index": 0,
                "neff_name": "standin",
                "execution_start_ts": PREAMBLE_NS,
                "execution_end_ts": PREAMBLE_NS + WORK_NS,
            }
        ],
        "Warning": [],
    }


def write(folder: Path, name: str, data: list[dict[str, object]]) -> None:
    """Write one table, whole or header only."""
    if name in SCHEMAS:
        schema = pa.schema(list(SCHEMAS[name].items()))
    else:
        schema = pa.Table.from_pylist([summary("")]).schema
    pq.write_table(pa.Table.from_pylist(data, schema=schema), folder / f"{name}.parquet")


def legacy_json(uuid: str, version: str) -> str:
    """The list-of-dicts layout neuron-profile 2.28 writes."""
    renamed = [
        {
            "timestamp": row["start_ts"],
            "duration": row["duration_ns"],
            "label": row["engine"],
            "subgroup": row["engine"],
            "subgraph": "sg00",
            "opcode": row["opcode"],
            "operands": "",
            "id": row["id"],
            "evt_wait_time": 0,
            "layer": "Unknown",
            "hbm_read_bytes": 0,
            "hbm_write_bytes": 0,
        }
        for row in instructions()
    ]
    return json.dumps(
        {
            "profile_info": [{"profile_name": "standin", "profiler_version": version}],
            "metadata": [{"num_physical_cores": 1, "pe_clock_freq": 2.4, "hbm_ddr_bandwidth": 716000000000}],
            "neff_header": [{"uuid": uuid, "hash": uuid, "network_name": "standin"}],
            "instruction": renamed,
            "dma": [],
            "active_time": [],
            "summary": [summary(version)],
        }
    )
