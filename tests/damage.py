"""Profiler output of every format, made here, and ways to damage it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from standin import tables

VERSION, UUID = "2.31.15.0", "ab" * 16
ODD: tuple[Any, ...] = (None, "", "x", "-1", [], {}, [[]], True, -1, 0, 1e308, -1e308, 2**63, -(2**70), 0.5)
"""Values no field expects."""

Damage = Callable[[Path, random.Random], None]


def summary_json(folder: Path) -> Path:
    path = folder / "summary.json"
    record = {f"n_{UUID}": tables.summary(VERSION), f"s_{UUID}": {"total_duration_ns": 1, "message_count": 2}}
    path.write_text("WARN[0000] log line\n" + json.dumps(record) + "\nINFO[0001] done\n")
    return path


def summary_text(folder: Path) -> Path:
    path = folder / "summary.txt"
    lines = [f"    {name}    {value}" for name, value in tables.summary(VERSION).items()]
    path.write_text(f"n_{UUID}\n" + "\n".join(lines) + "\n")
    return path


def full_json(folder: Path) -> Path:
    path = folder / "ntff.json"
    document = json.loads(tables.legacy_json(UUID, "2.28.23.0"))
    packet = {
        "timestamp": 13500,
        "duration": 60,
        "transfer_size": 64,
        "subgroup": "Q0-E1",
        "subgraph": "sg00",
    }
    packet |= {"aggregated": "no", "duplicate": "no", "packet_aggregation_id": 7, "queue_type": "data"}
    document["dma"] = [packet, packet | {"aggregated": "yes", "id": 7, "semaphore_id": "S[1]"}]
    document["active_time"] = tables.rows(UUID, VERSION)["ActiveTime"]
    document["dma_queues_info"] = [{"q_name": "qScalar", "q_idx": 0, "q_type": "data", "subgraph": "sg00"}]
    document["warnings"] = [{"message": "missing", "category": "Missing Data"}]
    path.write_text(json.dumps(document))
    return path


def parquet_folder(folder: Path) -> Path:
    path = folder / "tables"
    path.mkdir()
    for name, rows in tables.rows(UUID, VERSION).items():
        tables.write(path, name, rows)
    tables.write(path, "Summary", [tables.summary(VERSION)])
    return path


def report(folder: Path) -> Path:
    path = folder / "benchmark_report.json"
    part = {f"latency_ms_p{at}": 12000.5 + at for at in (50, 90, 95, 99, 100)} | {"throughput": 50.9}
    path.write_text(
        json.dumps({"e2e_model": part, "context_encoding_model": part, "token_generation_model": None})
    )
    return path


def scores(folder: Path) -> Path:
    path = folder / "scores.csv"
    head = "team_id,member_id,base_latency,base_throughput,accuracy,latency,throughput,nki_flop_ratio,"
    path.write_text(
        f"{head}increased_throughput,reduced_latency,final_score,timestamp\n"
        "1,2,12868.67,50.89,True,9000.5,71.1,0.99,1.4,1.4,3.9,2026-04-20T10:00:00\n"
    )
    return path


def log(folder: Path) -> Path:
    path = folder / "log.txt"
    inner = json.dumps({"e2e_model": {"latency_ms_p99": 11535.25}}, indent=4)
    path.write_text(
        f"Beginning benchmark sampling\n{inner}\nreduced_latency:  1.083\nincreased throughput:  1.075\n"
        "Final Score: 2.326\n\tAccuracy: 1\n\tLatency: 11535.25\n\tThroughput: 55.76\n"
        "\tNKI FLOPs Ratio: 0.99668\n"
    )
    return path


FORMATS: Mapping[str, Callable[[Path], Path]] = {
    each.__name__: each
    for each in (summary_json, summary_text, full_json, parquet_folder, report, scores, log)
}


def truncated(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def spliced(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    at, cut = chance.randrange(len(content)), chance.randint(0, 40)
    content[at : at + cut] = chance.randbytes(chance.randint(0, 8))
    path.write_bytes(content)


def altered(path: Path, chance: random.Random) -> None:
    """A key of a JSON document gone, or its value of another type; log lines around it are lost."""
    text = path.read_text("utf-8")
    document = json.loads(text[text.index("{") : text.rindex("}") + 1])
    for _ in range(chance.randint(1, 3)):
        place, key = _somewhere(document, chance)
        if chance.random() < 0.4:
            del place[key]
        else:
            place[key] = chance.choice(ODD)
        if not document:
            break
    path.write_text(json.dumps(document))


def _somewhere(document: Any, chance: random.Random) -> tuple[Any, Any]:
    place, key = None, None
    inner = document
    while isinstance(inner, dict | list) and inner and (place is None or chance.random() < 0.8):
        place = inner
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        inner = place[key]
    return place, key


def column_gone(path: Path, chance: random.Random) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([chance.choice(table.column_names)]), path)


def column_of_another_type(path: Path, chance: random.Random) -> None:
    table = pq.read_table(path)
    at = chance.randrange(table.num_columns)
    odd = [chance.choice(("x", "12", "", None)) for _ in range(table.num_rows)]
    changed: pa.Array = chance.choice(
        (pa.array(odd, pa.string()), pa.nulls(table.num_rows, pa.int64()), pa.array([1e300] * table.num_rows))
    )
    pq.write_table(table.set_column(at, table.column_names[at], changed), path)


def header_only(path: Path, _: random.Random) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def gone(path: Path, _: random.Random) -> None:
    path.unlink()


def emptied(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def doubled(path: Path, _: random.Random) -> None:
    shutil.copy(path, path.with_name(f"{path.stem}_1.parquet"))


BYTES: tuple[Damage, ...] = (truncated, flipped, spliced)
TABLES: tuple[Damage, ...] = (column_gone, column_of_another_type, header_only, gone, emptied, doubled)


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file, or one table of a folder; what was done."""
    if path.is_dir():
        path, kinds = chance.choice(sorted(path.iterdir())), (*BYTES, *TABLES)
    else:
        kinds = (*BYTES, altered, altered) if path.suffix == ".json" else BYTES
    act = chance.choice(kinds)
    act(path, chance)
    return f"{act.__name__} {path.name}"
