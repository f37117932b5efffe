"""How fast a folder of parquet is imported, beside DuckDB's own CREATE TABLE AS SELECT of the same files.

    python benchmarks/import_parquet.py --rows 1000000

Makes a profile of a whole model's graph: `--rows` instructions of six slots, twice as many DMA packets and
the transfers they make up, which name their instruction (schema 7.4.0, every column filled, tables split as
Neuron Explorer splits them, rows of a core nearly in order of time). Then, each in a process of its own and
into a new file: CREATE TABLE AS SELECT of every table, and `collectors import`. Prints the seconds, the ratio
and the peak memory. Figures to reach at `--rows 10000000`: at least half as fast, less than 1.5 GB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil

from collectors.readers import read
from collectors.store.door import Store

FILE_ROWS = 2_500_000
PACKETS_A_TRANSFER = 16
STEP_NS = 100

Act = Callable[[Path, Path], None]
Told = Any  # a queue of (seconds of the clock, seconds of the processor)

FILES = ("rmsnorm", "qkv", "attention_decode", "o_proj", "router", "experts_decode", "helpers")
LAYERS = (
    "input_layernorm",
    "self_attn/qkv_proj",
    "self_attn",
    "self_attn/o_proj",
    "mlp/router",
    "mlp/expert_mlps",
)
FILE = f"{list(FILES)}[1 + i // 900 % {len(FILES)}]"
PLACE = f"""'["/home/user/model/kernels/' || {FILE} || '.py:' || (20 + i % 180) || '"]'"""
LAYER = f"'/model/layers.' || i // 6300 % 48 || '/' || {list(LAYERS)}[1 + i // 900 % {len(LAYERS)}]"

INSTRUCTION = f"""
    i * {STEP_NS} + h % 40 AS start_ts, start_ts + 60 AS end_ts, 60 AS duration_ns,
    ['Tensor', 'Vector', 'Scalar', 'GpSimd', 'Sync'][1 + h % 5] AS engine, engine AS timeline_track,
    i // $half AS pcore_idx,
    ['MATMUL', 'LDWEIGHTS', 'TENSOR_TENSOR', 'ACTIVATE', 'EVENT_SEMAPHORE', 'COPY'][1 + h % 6] AS opcode,
    printf('S[5] (Tensor)++@complete src=bfloat16@0x%x[1,0,0][128,1,1] dst=fp32@0x%x[1,0][512,1] 128*128',
           i % 24000 * 64, i % 512 * 2048) AS operands,
    opcode AS compiler_opcode, operands AS compiler_operands, h AS id, i % 65536 AS pc, pc AS compiler_pc,
    'sg0000:' || i % 90000 AS penguin_id, i % 90000 AS raw_penguin_id, 'sg0000:' || i % 90000 AS bir_id,
    i % 90000 AS raw_bir_id, 'I-' || i % 90000 || '-0' AS bir_instruction_name,
    'I-' || i % 90000 || '-0' AS kernel_instruction_name, h % 65536 AS crc_in, h % 65521 AS crc_out,
    h % 900 AS evt_wait_time_ns, '[]' AS hlo_attrs, 'fusion.' || i % 400 AS hlo_name, i % 400 AS raw_hlo_id,
    i % 400 AS raw_framework_id, {LAYER} AS layer, '[' || i % 700 || ']' AS
    stack_frame_ids,
    {PLACE}::VARCHAR AS nki_source_location, '' AS bir_debug_info_source_location,
    start_ts AS dma_trigger_start_ts, end_ts AS dma_trigger_end_ts, 0 AS dma_wait_time_ns, '' AS
    instruction_chain,
    0 AS hbm_read_bytes, 0 AS hbm_write_bytes, 256 AS sbuf_read_bytes, 0 AS sbuf_write_bytes, 0 AS
    spill_save_bytes,
    0 AS spill_reload_bytes, 0 AS psum_read_bytes, 512 AS psum_write_bytes, 0 AS psum_read_sbuf_write_bytes,
    0 AS input_queue_bytes, 0 AS output_queue_bytes, 0 AS weight_queue_bytes, NULL::VARCHAR AS
    performance_mode,
    'MATMUL' AS tensor_instruction_type, 2097152 AS tensor_elements, 4194304 AS raw_flops, 4194304 AS
    adjusted_flops,
    0 AS tensor_elements_transpose, 0 AS flops_transpose, 0 AS adjusted_flops_transpose, '' AS
    scalar_activation_fn
"""
ACTIVE = f"""
    i * {4 * STEP_NS} AS start_ts, start_ts + 200 AS end_ts, 200 AS duration_ns,
    ['tensor', 'vector', 'scalar', 'gpsimd', 'sync'][1 + h % 5] AS engine, i // $half AS pcore_idx
"""
PACKET = f"""
    (i % $half) * {STEP_NS} + h % 700 AS start_ts, start_ts + 120 AS end_ts, 120 AS duration_ns,
    i // $half AS pcore_idx, h AS id, (i % {PACKETS_A_TRANSFER})::INTEGER AS packet_idx,
    (hash(i // {PACKETS_A_TRANSFER}) >> 1)::BIGINT AS packet_aggregation_id, i % 16 AS engine_idx, 512
    AS read_bytes,
    512 AS write_bytes, 512 AS transfer_bytes, (4.2e9 + i % 1000)::FLOAT AS throughput,
    ['hardware_dynamic', 'data', 'instruction'][1 + h % 3] AS queue_type, 'w' || i % 3000 AS variable,
    'qSyncDynamicHW' || i % 16 AS queue_name, i % 16 AS queue_idx, h % 65536 AS crc
"""
TRANSFER = f"""
    (i % $half) * {PACKETS_A_TRANSFER * STEP_NS} AS start_ts, start_ts + 900 AS end_ts, 900 AS duration_ns,
    h AS id, i // $half AS pcore_idx, 0::INTEGER AS block_id, i % 16 AS queue_idx,
    'qSyncDynamicHW' || i % 16 AS queue_name, 'hardware_dynamic' AS queue_type, 'copy' AS op,
    'w' || i % 3000 AS variable, 8192 AS read_bytes, 8192 AS write_bytes, 8192 AS transfer_bytes,
    9.1e9::FLOAT AS throughput,
    'WEIGHT' AS source, 'SB' AS dest, 'S[' || i % 200 || ']' AS semaphore_id, '' AS modular_flow_function,
    '' AS read_sbuf_partitions, 0::INTEGER AS read_num_sbuf_partitions, '[[128, 64]]' AS read_shape, ''
    AS read_offset,
    '' AS read_steps, '0-127' AS write_sbuf_partitions, 128::INTEGER AS write_num_sbuf_partitions,
    '[[128, 64]]' AS write_shape, '' AS write_offset, '' AS write_steps, false AS is_transpose_mode,
    '' AS transpose_element_size, '' AS transpose_shape, '' AS transpose_from_shape, '' AS
    transpose_to_shape,
    '' AS transpose_unroll_factor,
    (i * {PACKETS_A_TRANSFER} // 2) * {STEP_NS} + (hash(i * {PACKETS_A_TRANSFER} // 2) >> 1) % 40 AS trigger,
    trigger + 60 AS completion
"""


@dataclass(frozen=True)
class Cost:
    """Seconds, of the clock and of the processor, and the most memory a process held."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def make(folder: Path, rows: int) -> None:
    """Write the tables of a profile with `rows` instructions and twice as many packets."""
    made = {
        "Instruction": (INSTRUCTION, rows),
        "ActiveTime": (ACTIVE, rows // 4),
        "DmaPacket": (PACKET, 2 * rows),
        "DmaPacketAggregated": (TRANSFER, 2 * rows // PACKETS_A_TRANSFER),
    }
    total_s = rows * STEP_NS / 1e9
    single = {
        "Summary": f"{total_s}::DOUBLE AS total_time",
        "Metadata": "'7.4.0' AS profile_schema_version, 2 AS num_physical_cores, 'trn2' AS instance_type",
    }
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, (columns, count) in made.items():
            of_a_core = str(max(count // 2, 1))
            for part, first in enumerate(range(0, count, FILE_ROWS)):
                last = min(first + FILE_ROWS, count)
                numbers = f"SELECT i, (hash(i) >> 1)::BIGINT AS h FROM range({first}, {last}) t(i)"
                query = f"SELECT {columns.replace('$half', of_a_core)} FROM ({numbers})"
                connection.execute(f"COPY ({query}) TO '{folder / f'{name}_{part}.parquet'}'")
        for name, columns in single.items():
            connection.execute(f"COPY (SELECT {columns}) TO '{folder / f'{name}.parquet'}'")


def create_as_select(folder: Path, database: Path) -> None:
    """Every table whole, by DuckDB alone."""
    tables: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.parquet")):
        tables.setdefault(path.stem.split("_")[0], []).append(str(path))
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, files in tables.items():
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet({files})")


def imported(folder: Path, database: Path) -> None:
    """What `collectors import` does, without starting Python."""
    (run,) = read([folder])
    Store(database).save(run)


def _measured(act: Act, folder: Path, database: Path, told: Told) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    act(folder, database)
    told.put((time.perf_counter() - wall, time.process_time() - cpu))


def cost(act: Act, folder: Path) -> Cost:
    """Run `act` in a process of its own, into a new file."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        child = context.Process(target=_measured, args=(act, folder, Path(place) / "runs.db", told))
        child.start()
        watched, peak = psutil.Process(child.pid), 0
        while child.is_alive():
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, watched.memory_info().rss)
            child.join(0.02)
        if child.exitcode:
            raise SystemExit(f"{act.__name__} failed")
        return Cost(*told.get(), peak)


def main() -> None:
    """Print the seconds and the peak memory of both, and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="instructions; packets are twice as many")
    parser.add_argument("--folder", type=Path, help="where the files go (kept there, and used again)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = (given.folder or Path(place)) / f"profile-{given.rows}"
        if not folder.exists():
            folder.mkdir(parents=True)
            make(folder, given.rows)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{given.rows:,} instructions, {2 * given.rows:,} packets, {size / 1e6:,.0f} MB of parquet")
        print(f"{'':24} {'seconds':>9} {'cpu s':>9} {'peak MB':>9}")
        own, ours = cost(create_as_select, folder), cost(imported, folder)
        for name, each in (("create table as select", own), ("collectors import", ours)):
            print(f"{name:24} {each.wall_s:9.2f} {each.cpu_s:9.2f} {each.peak_bytes / 1e6:9,.0f}")
        print(
            f"speed of the import over DuckDB's own: {own.wall_s / ours.wall_s:.2f} "
            f"(by processor time {own.cpu_s / ours.cpu_s:.2f})"
        )


if __name__ == "__main__":
    main()
