"""Which instruction issued a transfer: its source line and layer are the transfer's.

Schema 7.4.0 says of a transfer the start and the end of the instruction that triggered it (`trigger`,
`completion`), and neuron-profile 2.27 the start. Several instructions of a core may start in one nanosecond:
the one that ends when the transfer says so is meant, then one of the engine the queue is named after.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from collectors.readers.sql import asking

ISSUED = ("trigger", "completion")
"""Columns of a transfer that tell its instruction; not stored."""
OF_ISSUER = ("layer", "nki_source_location")
"""Columns a transfer takes over from its instruction."""


def issuer_sql(transfers: str, instructions: str, key: str, names: tuple[str, ...] = OF_ISSUER) -> str:
    """SQL that tells `names` of the instruction that issued each transfer, by `key`; others have no row.

    `transfers` and `instructions` are SQL with the columns used here, on one clock. Instructions are many and
    few of them issue transfers: those are found first.
    """
    told = ", ".join(f"i.{name}" for name in names)
    keys = ", ".join(f"t.{name.strip()}" for name in key.split(","))
    return f"""
    SELECT {keys}, {told}
    FROM ({transfers}) t
    JOIN (SELECT * FROM ({instructions}) WHERE start_ts IN (SELECT trigger FROM ({transfers}))) i
      ON i.start_ts = t.trigger AND i.pcore_idx = coalesce(t.pcore_idx, 0)
    QUALIFY 1 = row_number() OVER (PARTITION BY {keys} ORDER BY
      coalesce(i.end_ts = t.completion, false) DESC, contains(lower(t.queue_name), i.engine) DESC, i.opcode)
    """  # noqa: S608 (own names)


def with_issuers(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with the layer (and the line, where there is one) of every transfer's instruction."""
    transfers, instructions = tables["DmaPacketAggregated"], tables["Instruction"]
    names = tuple(name for name in OF_ISSUER if name in instructions.column_names)
    numbered = transfers.append_column("place", pa.array(range(transfers.num_rows), pa.int64()))
    with asking({"transfer": numbered, "instruction": instructions}) as ask:
        issuers = issuer_sql("FROM transfer", "FROM instruction", "place", names)
        query = f"SELECT {', '.join(names)} FROM transfer LEFT JOIN ({issuers}) USING (place) ORDER BY place"  # noqa: S608
        found = ask(query)
    kept = transfers.drop_columns(list(ISSUED))
    for name in names:
        kept = kept.append_column(name, found[name])
    return {**tables, "DmaPacketAggregated": kept}
