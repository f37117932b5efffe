"""What lists of the full JSON say of one another: names of queues, packets of a transfer."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc


def named_queues(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Queue names "Q<idx>" replaced with the name DmaQueuesInfo gives that index, when it gives one only."""
    info = tables["DmaQueuesInfo"]
    names: dict[str, set[str]] = {}
    for row in info.select(["idx", "name"]).to_pylist():
        if row["idx"] is not None and row["name"]:
            names.setdefault(f"Q{row['idx']}", set()).add(row["name"])
    only = {short: min(full) for short, full in names.items() if len(full) == 1}
    return {name: _renamed(rows, only) for name, rows in tables.items()}


def _renamed(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    if "queue_name" not in rows.column_names or not rows.num_rows:
        return rows
    coded = rows["queue_name"].combine_chunks()
    full = pa.array([names.get(each, each) for each in coded.dictionary.to_pylist()], pa.string())
    at = rows.column_names.index("queue_name")
    return rows.set_column(at, "queue_name", pa.DictionaryArray.from_arrays(coded.indices, full))


def with_descriptors(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Transfers with their number of packets: one descriptor each."""
    transfers, packets = tables["DmaPacketAggregated"], tables["DmaPacket"]
    if not transfers.num_rows:
        return dict(tables)
    counts = pc.value_counts(packets["packet_aggregation_id"])
    of = {each["values"]: each["counts"] for each in counts.to_pylist()}
    found = [of.get(each) for each in transfers["id"].to_pylist()]
    return {
        **tables,
        "DmaPacketAggregated": transfers.append_column("descriptors", pa.array(found, pa.int64())),
    }
